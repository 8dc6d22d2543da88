import { p256 } from '@noble/curves/nist.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import { describe, expect, it } from 'vitest';
import { readCertificates } from './certificates.ts';
import { signModule } from './module-signer.ts';
import { createModuleVerifier } from './module-verifier.ts';
import { bytesOf, CERTIFICATES } from './testing/openssl.ts';

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
const [rsa, ecdsa] = [CERTIFICATES.rsa2048, CERTIFICATES.p256].flatMap((der) =>
  readCertificates(bytesOf(der)),
);
if (rsa === undefined || ecdsa === undefined) throw new Error('two certificates');
const certificate = {
  ...ecdsa,
  key: { kind: 'ecdsa', curve: 'p256', point: p256.getPublicKey(SECRET) } as const,
};

describe('signing a module', () => {
  const file = signModule(utf8ToBytes('module'), { certificate, secret: SECRET });

  it('makes a file whose signature counts for who trusts the key, and for nobody else', () => {
    expect(createModuleVerifier({ certificates: [certificate] }).verify(file)).toMatchObject({
      ok: true,
      digest: 'sha256',
    });
    expect(createModuleVerifier({ certificates: [ecdsa] }).verify(file)).toMatchObject({
      ok: false,
      why: 'wrong',
    });
    expect(createModuleVerifier({ certificates: [rsa] }).verify(file)).toMatchObject({
      ok: false,
      why: 'unknown-key',
    });
  });

  it('makes the same file each time', () => {
    expect(signModule(utf8ToBytes('module'), { certificate, secret: SECRET })).toEqual(file);
  });

  it('with a key of another kind is refused', () => {
    expect(() => signModule(file, { certificate: rsa, secret: SECRET })).toThrow(
      'rsa2048: expected a key on P-256',
    );
  });
});
