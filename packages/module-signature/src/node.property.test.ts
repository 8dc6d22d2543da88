import { constants, createHash, generateKeyPairSync, privateEncrypt } from 'node:crypto';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendSignature } from './appended-signature.ts';
import { type CurveName, type PublicKey, readCertificates } from './certificates.ts';
import { der, TAG } from './der.ts';
import { DIGESTS, type DigestName } from './digests.ts';
import { createModuleVerifier } from './module-verifier.ts';
import { nodeArithmetic } from './node.ts';
import { javascriptArithmetic, type SignatureArithmetic } from './signature-arithmetic.ts';
import { bytesOf, CERTIFICATES, MESSAGES } from './testing/openssl.ts';

const CURVES = { p256, p384, p521 };
const BYTES = { p256: 32, p384: 48, p521: 66 };
const SECRET = Uint8Array.from({ length: 66 }, (_, index) => (index === 0 ? 0 : index));
const digestName = fc.constantFrom<DigestName>('sha256', 'sha384', 'sha512');
const curveName = fc.constantFrom<CurveName>('p256', 'p384', 'p521');
const content = fc.uint8Array({ maxLength: 40 });

const secretOf = (curve: CurveName): Uint8Array => SECRET.subarray(66 - BYTES[curve]);
const pointOf = (curve: CurveName, isCompressed = false): Uint8Array =>
  CURVES[curve].getPublicKey(secretOf(curve), isCompressed);
const bigEndian = (number: bigint, length: number): Uint8Array =>
  hexToBytes(number.toString(16).padStart(2 * length, '0'));
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${bytesToHex(bytes)}`);

function takes(
  arithmetic: SignatureArithmetic,
  ...of: Parameters<SignatureArithmetic['isSignature']>
): boolean {
  try {
    return arithmetic.isSignature(...of);
  } catch {
    return false;
  }
}
/** What both say. */
function verdict(...of: Parameters<SignatureArithmetic['isSignature']>): boolean {
  const [inScript, inNode] = [javascriptArithmetic, nodeArithmetic].map((one) => takes(one, ...of));
  expect(inNode).toBe(inScript);
  return inNode === true;
}

describe('signatures are checked the same in Node as in JavaScript', () => {
  test('digests', () => {
    fc.assert(
      fc.property(digestName, content, (name, bytes) => {
        expect(bytesToHex(nodeArithmetic.digest(name, bytes))).toBe(bytesToHex(DIGESTS[name](bytes)));
      }),
    );
  });

  test('ECDSA: honest ones count, with a small s and with a large one, by a key with any form of its point', () => {
    fc.assert(
      fc.property(
        curveName,
        digestName,
        content,
        fc.boolean(),
        fc.boolean(),
        (curve, digest, bytes, isLarge, isCompressed) => {
          const key: PublicKey = { kind: 'ecdsa', curve, point: pointOf(curve, isCompressed) };
          const signature = signed(curve, digest, bytes);
          const size = BYTES[curve];
          const s = numberOf(signature.subarray(size));
          const { n } = CURVES[curve].Point.CURVE();
          if (isLarge !== s > n / 2n) signature.set(bigEndian(n - s, size), size);
          expect(verdict(key, digest, bytes, signature)).toBe(true);
          expect(verdict(key, digest, Uint8Array.of(...bytes, 0), signature)).toBe(false);
        },
      ),
      { numRuns: 20 },
    );
  });

  test('ECDSA: numbers that were changed do not count, nor those out of range', () => {
    fc.assert(
      fc.property(
        curveName,
        digestName,
        content,
        fc.constantFrom('zero', 'order', 'beyond', 'bit', 'short', 'long'),
        fc.boolean(),
        fc.nat(),
        (curve, digest, bytes, change, isFirst, place) => {
          const size = BYTES[curve];
          const key: PublicKey = { kind: 'ecdsa', curve, point: pointOf(curve) };
          const good = signed(curve, digest, bytes);
          const half = isFirst ? good.subarray(0, size) : good.subarray(size);
          const { n } = CURVES[curve].Point.CURVE();
          let signature: Uint8Array = good;
          if (change === 'zero') half.fill(0);
          else if (change === 'order') half.set(bigEndian(n, size));
          else if (change === 'beyond') half.fill(0xff);
          else if (change === 'bit') half[place % size] = (half[place % size] ?? 0) ^ (1 << (place % 8));
          else if (change === 'short') signature = good.subarray(1);
          else signature = Uint8Array.of(0, ...good);
          expect(verdict(key, digest, bytes, signature)).toBe(false);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('ECDSA: by a key that is no point, or is written in a form of OpenSSL alone, nothing counts', () => {
    const forms: readonly ((point: Uint8Array) => Uint8Array)[] = [
      // Hybrid: both coordinates, and the parity of y.
      (point) => Uint8Array.of(6 + ((point.at(-1) ?? 0) & 1), ...point.subarray(1)),
      () => Uint8Array.of(0),
      () => new Uint8Array(),
      (point) => point.fill(0xff, 1),
      (point) => point.fill(0, 1),
      (point) => point.map((byte, index) => (index === point.length - 1 ? byte ^ 1 : byte)),
      (point) => point.subarray(0, -1),
      (point) => Uint8Array.of(...point, 0),
    ];
    for (const curve of ['p256', 'p384', 'p521'] as const) {
      const bytes = utf8ToBytes('module');
      const signature = signed(curve, 'sha256', bytes);
      for (const form of forms) {
        const key = { kind: 'ecdsa', curve, point: form(pointOf(curve)) } as const;
        expect(verdict(key, 'sha256', bytes, signature)).toBe(false);
      }
    }
  });

  test('RSA: what is signed must have the one form that PKCS#1 gives it', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
    const number = (text: string): bigint => numberOf(Buffer.from(text, 'base64url'));
    const key: PublicKey = { kind: 'rsa', n: number(n), e: number(e) };
    const sign = (encoded: Uint8Array): Uint8Array =>
      privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, encoded);
    fc.assert(
      fc.property(
        digestName,
        content,
        fc.constantFrom(...Object.entries(FORMS)),
        fc.constantFrom('as it is', 'with a zero before', 'without its first byte', 'plus the modulus'),
        (digest, bytes, [form, encode], change) => {
          const signature = sign(encode(digest, bytes));
          const sum = bigEndian(numberOf(signature) + key.n, 257);
          const changed = {
            'as it is': signature,
            'with a zero before': Uint8Array.of(0, ...signature),
            'without its first byte': signature.subarray(1),
            'plus the modulus': sum[0] === 0 ? sum.subarray(1) : sum,
          }[change];
          const counts = form === 'right' && change === 'as it is';
          expect(verdict(key, digest, bytes, changed)).toBe(counts);
        },
      ),
      { numRuns: 80 },
    );
  });
});

/** Behind the DigestInfo's digest: SEQUENCE of the algorithm, with NULL as its parameter, and an OCTET STRING (RFC 8017, 9.2). */
const OIDS = { sha256: 1, sha384: 2, sha512: 3 };
function digestInfo(digest: DigestName, bytes: Uint8Array, parameter: Uint8Array = der(5)): Uint8Array {
  const id = der(TAG.objectId, hexToBytes('6086480165030402'), Uint8Array.of(OIDS[digest]));
  return der(TAG.sequence, der(TAG.sequence, id, parameter), der(TAG.octetString, hash(digest, bytes)));
}
const hash = (digest: DigestName, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from(createHash(digest).update(bytes).digest());

/** 0, `type`, `padding`, 0, what is signed, and `behind`; of 256 bytes. */
function padded(
  info: Uint8Array,
  { type = 1, padding = 0xff, behind = 0 }: { type?: number; padding?: number; behind?: number } = {},
): Uint8Array {
  const encoded = new Uint8Array(256).fill(padding, 2, 255 - info.length - behind);
  encoded[1] = type;
  encoded.set(info, 256 - info.length - behind);
  return encoded;
}

type Form = (digest: DigestName, bytes: Uint8Array) => Uint8Array;
const FORMS: Readonly<Record<string, Form>> = {
  right: (digest, bytes) => padded(digestInfo(digest, bytes)),
  'without NULL': (digest, bytes) => padded(digestInfo(digest, bytes, new Uint8Array())),
  'with a parameter': (digest, bytes) => padded(digestInfo(digest, bytes, der(TAG.octetString))),
  'the digest alone': (digest, bytes) => padded(hash(digest, bytes)),
  'of another digest': (digest, bytes) =>
    padded(digestInfo(digest === 'sha256' ? 'sha512' : 'sha256', bytes)),
  'of another file': (digest, bytes) => padded(digestInfo(digest, Uint8Array.of(...bytes, 1))),
  // Bleichenbacher's of 2006: the padding is short, and what is behind is free.
  'with bytes behind': (digest, bytes) => padded(digestInfo(digest, bytes), { behind: 100 }),
  'of the type for secrets': (digest, bytes) => padded(digestInfo(digest, bytes), { type: 2 }),
  'with another padding': (digest, bytes) => padded(digestInfo(digest, bytes), { padding: 0xfe }),
  // A length in two bytes: BER.
  'with a long length': (digest, bytes) => {
    const info = digestInfo(digest, bytes);
    return padded(Uint8Array.of(TAG.sequence, 0x81, ...info.subarray(1)));
  },
};

function signed(curve: CurveName, digest: DigestName, bytes: Uint8Array): Uint8Array {
  return CURVES[curve].sign(DIGESTS[digest](bytes), secretOf(curve), { prehash: false, format: 'compact' });
}

test('a file counts or does not for the same reason, whatever byte of it was changed', () => {
  const certificates = [CERTIFICATES.rsa2048, CERTIFICATES.p256].flatMap((one) =>
    readCertificates(bytesOf(one)),
  );
  const verifiers = [javascriptArithmetic, nodeArithmetic].map((arithmetic) =>
    createModuleVerifier({ certificates, arithmetic }),
  );
  const name = fc.constantFrom<keyof typeof MESSAGES>('rsa-sha256', 'rsa-sha512', 'p256-sha256');
  fc.assert(
    fc.property(name, fc.nat(), fc.integer({ min: 0, max: 255 }), (one, place, change) => {
      const file = appendSignature(utf8ToBytes('module'), bytesOf(MESSAGES[one]));
      const at = place % file.length;
      file[at] = (file[at] ?? 0) ^ change;
      const [inScript, inNode] = verifiers.map(({ verify }) => verify(file));
      expect(inNode).toEqual(inScript);
    }),
    { numRuns: 100 },
  );
});
