import { p256 } from '@noble/curves/nist.js';
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { describe, expect, it, test } from 'vitest';
import { appendSignature, splitSignature } from './appended-signature.ts';
import { readCertificates } from './certificates.ts';
import { context, der, TAG } from './der.ts';
import { DIGESTS } from './digests.ts';
import { createModuleVerifier } from './module-verifier.ts';
import { nodeArithmetic } from './node.ts';
import { bytesOf, CERTIFICATES, MESSAGES } from './testing/openssl.ts';

const CONTENT = utf8ToBytes('module');
const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
const [known, rsa] = [CERTIFICATES.p256, CERTIFICATES.rsa2048].flatMap((one) =>
  readCertificates(bytesOf(one)),
);
if (known === undefined || rsa === undefined) throw new Error('two certificates');
const ours = { ...known, key: { kind: 'ecdsa', curve: 'p256', point: p256.getPublicKey(SECRET) } as const };
const { verify } = createModuleVerifier({ certificates: [ours, rsa] });
const inNode = createModuleVerifier({ certificates: [ours, rsa], arithmetic: nodeArithmetic });
function verdict(file: Uint8Array): string {
  const result = verify(file);
  expect(inNode.verify(file)).toEqual(result);
  return result.ok ? 'counts' : result.why;
}

const id = (hex: string): Uint8Array => der(TAG.objectId, hexToBytes(hex));
const version = (number: number): Uint8Array => der(TAG.integer, Uint8Array.of(number));
const SHA256 = der(TAG.sequence, id('608648016503040201'));
const SHA512 = der(TAG.sequence, id('608648016503040203'));
const DATA = id('2a864886f70d010701');
const signatureOf = (content: Uint8Array): Uint8Array =>
  p256.sign(DIGESTS.sha256(content), SECRET, { prehash: false, format: 'der' });
const GOOD = {
  version: version(3),
  digests: der(TAG.set, SHA256),
  content: der(TAG.sequence, DATA),
  afterContent: new Uint8Array(),
  own: version(3),
  name: der(context(0, 'primitive'), hexToBytes(ours.subjectKeyId ?? '')),
  digest: SHA256,
  attributes: new Uint8Array(),
  kind: der(TAG.sequence, id('2a8648ce3d040302')),
  signature: der(TAG.octetString, signatureOf(CONTENT)),
  afterSignature: new Uint8Array(),
  moreSigners: new Uint8Array(),
  afterSigners: new Uint8Array(),
  afterMessage: new Uint8Array(),
};
type Parts = { readonly [part in keyof typeof GOOD]: Uint8Array };

/** A message that is right but for some parts. */
function message(change: Partial<Parts> = {}): Uint8Array {
  const part = { ...GOOD, ...change };
  const { own, name, digest, attributes, kind, signature, afterSignature } = part;
  const signer = der(TAG.sequence, own, name, digest, attributes, kind, signature, afterSignature);
  const signers = der(TAG.set, signer, part.moreSigners);
  const signed = der(
    TAG.sequence,
    part.version,
    part.digests,
    part.content,
    part.afterContent,
    signers,
    part.afterSigners,
  );
  const outer = der(TAG.sequence, id('2a864886f70d010702'), der(context(0), signed));
  return Uint8Array.of(...outer, ...part.afterMessage);
}

const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
function ecdsa(r: bigint, s: bigint, before = new Uint8Array()): Uint8Array {
  const integer = (value: bigint, extra = new Uint8Array()): Uint8Array => {
    const digits = value.toString(16);
    const bytes = hexToBytes(digits.length % 2 === 0 ? digits : `0${digits}`);
    return der(TAG.integer, extra, Uint8Array.of(...((bytes[0] ?? 0) >= 128 ? [0] : []), ...bytes));
  };
  return der(TAG.octetString, der(TAG.sequence, integer(r, before), integer(s)));
}
const { r, s } = p256.Signature.fromBytes(signatureOf(CONTENT), 'der');
const NOTHING = der(TAG.sequence);
const GOOD_NUMBERS = signatureOf(CONTENT);
/** A signature in a form that is not DER, or has more or less in it than two numbers. */
const numbers = (...bytes: Uint8Array[]): Partial<Parts> => ({ signature: der(TAG.octetString, ...bytes) });
const S = der(TAG.integer, Uint8Array.of(1));

describe('a message that no sign-file made', () => {
  it('is right before anything in it is changed', () => {
    expect(verdict(appendSignature(CONTENT, message()))).toBe('counts');
    // Who has a signature has the one with the other s, of the same file: Linux takes both.
    expect(verdict(appendSignature(CONTENT, message({ signature: ecdsa(r, order - s) })))).toBe('counts');
  });

  test.each<[string, Partial<Parts>, string]>([
    ['bytes behind the message', { afterMessage: Uint8Array.of(0) }, 'malformed'],
    ['a second message behind it', { afterMessage: message() }, 'malformed'],
    ['a version that Linux does not know', { version: version(2) }, 'malformed'],
    ['a version in two bytes', { own: der(TAG.integer, Uint8Array.of(0, 3)) }, 'malformed'],
    ['a signer of PKCS#7 in a message of CMS', { own: version(1) }, 'malformed'],
    ['a signer of CMS in a message of PKCS#7', { version: version(1) }, 'malformed'],
    [
      'a key by its identifier where PKCS#7 has issuer and number',
      { version: version(1), own: version(1) },
      'malformed',
    ],
    ['digests that are none', { digests: der(TAG.set, Uint8Array.of(1)) }, 'malformed'],
    [
      'content that is empty',
      { content: der(TAG.sequence, DATA, der(context(0), der(TAG.octetString))) },
      'malformed',
    ],
    ['content of another type', { content: der(TAG.sequence, id('2a864886f70d010702')) }, 'malformed'],
    ['certificates that are none', { afterContent: der(context(0), Uint8Array.of(1, 2, 3)) }, 'malformed'],
    ['no certificates, said so', { afterContent: der(context(0)) }, 'malformed'],
    ['lists of revoked certificates', { afterContent: der(context(1), NOTHING) }, 'malformed'],
    ['signed attributes', { attributes: der(context(0), NOTHING) }, 'malformed'],
    ['signed attributes as of old', { attributes: der(context(2), NOTHING) }, 'malformed'],
    ['attributes that are not signed', { afterSignature: der(context(1), NOTHING) }, 'malformed'],
    ['the same signer twice', { moreSigners: der(TAG.sequence, NOTHING) }, 'malformed'],
    ['something behind the signers', { afterSigners: NOTHING }, 'malformed'],
    ['an empty name of the key', { name: der(context(0, 'primitive')) }, 'unknown-key'],
    [
      'half the name of the key',
      { name: der(context(0, 'primitive'), hexToBytes(ours.subjectKeyId?.slice(0, 20) ?? '')) },
      'unknown-key',
    ],
    ['the digest of another kind of signature', { digest: SHA512 }, 'unsupported'],
    ['SHA-1', { digest: der(TAG.sequence, id('2b0e03021a')) }, 'unsupported'],
    [
      'a digest that has no end',
      { digest: der(TAG.sequence, der(TAG.objectId, Uint8Array.of(0x60, 0x86))) },
      'malformed',
    ],
    ['RSA by a key for ECDSA', { kind: der(TAG.sequence, id('2a864886f70d010101')) }, 'unsupported'],
    ['no signature', { signature: der(TAG.octetString) }, 'wrong'],
    ['r = 0', { signature: ecdsa(0n, s) }, 'wrong'],
    ['s = 0', { signature: ecdsa(r, 0n) }, 'wrong'],
    ['r and s of the order', { signature: ecdsa(order, order) }, 'wrong'],
    ['r beyond the order', { signature: ecdsa(r + order, s) }, 'wrong'],
    ['s beyond the order', { signature: ecdsa(r, s + order) }, 'wrong'],
    [
      'bytes behind the signature',
      { signature: der(TAG.octetString, signatureOf(CONTENT), Uint8Array.of(0)) },
      'wrong',
    ],
    // OpenSSL reads some of these by itself: it gets the numbers alone.
    ['a length in two bytes', numbers(Uint8Array.of(TAG.sequence, 0x81), GOOD_NUMBERS.subarray(1)), 'wrong'],
    [
      'a length that is not definite',
      numbers(Uint8Array.of(TAG.sequence, 0x80), GOOD_NUMBERS.subarray(2), Uint8Array.of(0, 0)),
      'wrong',
    ],
    ['a zero before r', { signature: ecdsa(r, s, Uint8Array.of(0)) }, 'wrong'],
    ['three numbers', numbers(der(TAG.sequence, S, S, S)), 'wrong'],
    ['one number', numbers(der(TAG.sequence, S)), 'wrong'],
    ['a number that is none', numbers(der(TAG.sequence, der(TAG.integer), S)), 'wrong'],
    ['a negative number', numbers(der(TAG.sequence, der(TAG.integer, Uint8Array.of(0x80)), S)), 'wrong'],
    ['a number longer than the order', { signature: ecdsa(r + (1n << 256n), s) }, 'wrong'],
    [
      'the bare numbers',
      { signature: der(TAG.octetString, p256.sign(DIGESTS.sha256(CONTENT), SECRET, { prehash: false })) },
      'wrong',
    ],
    [
      'a signature of the digest of the digest',
      { signature: der(TAG.octetString, signatureOf(DIGESTS.sha256(CONTENT))) },
      'wrong',
    ],
  ])('with %s does not count', (_, change, why) => {
    expect(verdict(appendSignature(CONTENT, message(change)))).toBe(why);
  });

  it('with any length in a form of more bytes, or without a definite one, does not count', () => {
    const good = message();
    const longer = Uint8Array.of(0x30, 0x82, 0, good.length - 3, ...good.subarray(3));
    const indefinite = Uint8Array.of(0x30, 0x80, ...good.subarray(3), 0, 0);
    const endless = Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff, ...good.subarray(3));
    const longTag = Uint8Array.of(0x3f, 0x10, ...good.subarray(1));
    expect(
      [longer, indefinite, endless, longTag].map((one) => verdict(appendSignature(CONTENT, one))),
    ).toEqual(Array(4).fill('malformed'));
  });
});

describe('RSA as PKCS#1 v1.5 has it', () => {
  const good = bytesOf(MESSAGES['rsa-sha256']);
  const at = good.length - 256;
  const with_ = (signature: Uint8Array): string =>
    verdict(appendSignature(CONTENT, Uint8Array.of(...good.subarray(0, at), ...signature)));

  it('takes no number that is not below the modulus, and none that any other block comes of', () => {
    if (rsa.key.kind !== 'rsa') throw new Error('RSA');
    const bytes = (value: bigint): Uint8Array => hexToBytes(value.toString(16).padStart(512, '0'));
    const number = BigInt(
      `0x${[...good.subarray(at)].map((one) => one.toString(16).padStart(2, '0')).join('')}`,
    );
    expect(with_(bytes(number))).toBe('counts');
    const { n } = rsa.key;
    const others = [0n, 1n, n - 1n, n, n - number, number ^ 1n];
    if (number + n < 1n << 2048n) others.push(number + n);
    expect(others.map((one) => with_(bytes(one)))).toEqual(others.map(() => 'wrong'));
  });
});

describe('the end of a file', () => {
  const signed = appendSignature(CONTENT, message());

  it('that is signed twice holds the outer signature alone, and what it signs is the file with the inner one', () => {
    const outer = message({ signature: der(TAG.octetString, signatureOf(signed)) });
    const result = verify(appendSignature(signed, outer));
    expect(result.ok && result.content.length).toBe(signed.length);
    expect(verdict(appendSignature(signed, message()))).toBe('wrong');
  });

  it('that is cut off anywhere, or has another length of its signature, does not count', () => {
    for (let length = 0; length < signed.length; length++)
      expect(verdict(signed.subarray(0, length))).toBe('unsigned');
    const lengthAt = signed.length - 28 - 4;
    const length = message().length;
    for (const other of [0, 1, length - 1, length + 1, length + CONTENT.length, 2 ** 31, 2 ** 32 - 1]) {
      const file = signed.slice();
      new DataView(file.buffer).setUint32(lengthAt, other);
      expect(verdict(file)).toBe('malformed');
    }
    for (let from = 1; from < CONTENT.length; from++) expect(verdict(signed.subarray(from))).toBe('wrong');
    expect(splitSignature(signed.subarray(CONTENT.length))).toMatchObject({ why: 'malformed' });
  });
});

test('a blocklist may name a certificate or a file by another digest than SHA-256', () => {
  const file = appendSignature(CONTENT, bytesOf(MESSAGES['rsa-sha512']));
  const hex = (bytes: Uint8Array): string =>
    [...bytes].map((one) => one.toString(16).padStart(2, '0')).join('');
  const blocked = [hex(DIGESTS.sha512(CONTENT)), ...rsa.tbsDigests];
  const why = blocked.map((one) => {
    const result = createModuleVerifier({ certificates: [rsa], blocked: new Set([one]) }).verify(file);
    return result.ok ? 'counts' : result.why;
  });
  expect(why).toEqual(Array(4).fill('blocked'));
});
