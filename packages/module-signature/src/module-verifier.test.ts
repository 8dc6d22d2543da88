import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { describe, expect, it } from 'vitest';
import { appendSignature, splitSignature } from './appended-signature.ts';
import { readCertificates } from './certificates.ts';
import { DIGESTS } from './digests.ts';
import { createModuleVerifier, type ModuleTrust } from './module-verifier.ts';
import { bytesOf, CERTIFICATES, MESSAGES } from './testing/openssl.ts';

const CONTENT = utf8ToBytes('module');
const USED = [CERTIFICATES.rsa2048, CERTIFICATES.p256, CERTIFICATES.p384, CERTIFICATES.p521].map(bytesOf);
const certificates = readCertificates(Uint8Array.from(USED.flatMap((der) => [...der])));

const signed = (name: keyof typeof MESSAGES): Uint8Array => appendSignature(CONTENT, bytesOf(MESSAGES[name]));
function verdict(file: Uint8Array, trust: Partial<ModuleTrust> = {}): string {
  const result = createModuleVerifier({ certificates, ...trust }).verify(file);
  return result.ok ? `${result.signer.name} ${result.digest}` : result.why;
}

describe('a signature behind a module', () => {
  it.each([
    ['rsa-sha256', 'rsa2048 sha256'],
    ['rsa-sha512', 'rsa2048 sha512'],
    ['rsa-keyid', 'rsa2048 sha256'],
    ['p256-sha256', 'p256 sha256'],
    ['p384-sha384', 'p384 sha384'],
    ['p521-sha512', 'p521 sha512'],
  ] as const)('by %s counts', (name, by) => {
    expect(verdict(signed(name))).toBe(by);
    const result = createModuleVerifier({ certificates }).verify(signed(name));
    expect(result.ok && bytesToHex(result.content)).toBe(bytesToHex(CONTENT));
  });

  it.each([
    ['of SHA-1', 'rsa-sha1', 'unsupported'],
    ['with signed attributes', 'attributes', 'malformed'],
    ['with the content in it', 'attached', 'malformed'],
    ['with a certificate in it', 'certificate', 'malformed'],
    ['of two', 'two', 'malformed'],
  ] as const)('%s is refused, as Linux refuses it or sign-file never makes it', (_, name, why) => {
    expect(verdict(signed(name))).toBe(why);
  });

  it('of another file, or with any byte of the content changed, is wrong', () => {
    for (const name of ['rsa-sha256', 'p256-sha256'] as const) {
      for (let at = 0; at < CONTENT.length; at++) {
        const file = signed(name);
        file[at] = (file[at] ?? 0) ^ 1;
        expect(verdict(file)).toBe('wrong');
      }
    }
  });

  it('counts no more with a changed byte from the name of its key to its end', () => {
    const message = bytesOf(MESSAGES['p256-sha256']);
    // Its last 139 bytes: after versions and lists, which decide nothing.
    const name = message.length - 139;
    const counting = Array.from(
      { length: (message.length - name) / 2 },
      (_, index) => name + 2 * index,
    ).filter((at) => {
      const changed = message.slice();
      changed[at] = (changed[at] ?? 0) ^ 4;
      return verdict(appendSignature(CONTENT, changed)).startsWith('p256');
    });
    expect(counting).toEqual([]);
  });

  it('must be the last thing of the file', () => {
    expect(verdict(CONTENT)).toBe('unsigned');
    expect(verdict(Uint8Array.of(...signed('p256-sha256'), 0))).toBe('unsigned');
    expect(verdict(new Uint8Array())).toBe('unsigned');
  });

  it('has an end that says what it is: of its twelve bytes each is looked at', () => {
    const end = signed('p256-sha256').length - 28 - 12;
    const why = Array.from({ length: 12 }, (_, index) => {
      const file = signed('p256-sha256');
      file[end + index] = (file[end + index] ?? 0) ^ 0x80;
      return verdict(file);
    });
    expect(why).toEqual([...Array(2).fill('malformed'), 'unsupported', ...Array(9).fill('malformed')]);
    expect(splitSignature(appendSignature(new Uint8Array(), Uint8Array.of(1, 2))).ok).toBe(false);
  });

  it('of a key or a file that is blocked does not count', () => {
    const [certificate] = certificates;
    const of = (hash: string): string => verdict(signed('rsa-sha256'), { blocked: new Set([hash]) });
    expect(of(bytesToHex(DIGESTS.sha256(CONTENT)))).toBe('blocked');
    expect(of(certificate?.tbsDigests[0] ?? '')).toBe('blocked');
    expect(of(certificate?.subjectKeyId ?? '')).toBe('blocked');
    expect(of(bytesToHex(DIGESTS.sha256(utf8ToBytes('another'))))).toBe('rsa2048 sha256');
  });

  it('is looked at in any bytes at all without an error', () => {
    const message = bytesOf(MESSAGES['rsa-sha256']);
    for (let length = 0; length < message.length; length += 7)
      expect(verdict(appendSignature(CONTENT, message.subarray(0, length)))).toBe('malformed');
    const nested = new Uint8Array(12_000).fill(0x30);
    for (let at = 1; at < nested.length; at += 2) nested[at] = 0x80;
    expect(verdict(appendSignature(new Uint8Array(20_000), nested))).toBe('malformed');
  });
});

describe('a list of certificates', () => {
  it('has names, keys, and what a blocklist calls them', () => {
    expect(certificates.map(({ name, key }) => `${name} ${key.kind}`)).toEqual([
      'rsa2048 rsa',
      'p256 ecdsa',
      'p384 ecdsa',
      'p521 ecdsa',
    ]);
    expect(
      certificates.every(
        ({ subjectKeyId, tbsDigests }) => subjectKeyId?.length === 40 && tbsDigests[0]?.length === 64,
      ),
    ).toBe(true);
  });

  it.each([
    ['a key that is too short', CERTIFICATES.rsa1024, '1024 bits'],
    ['a curve that Linux does not know', CERTIFICATES.k256, 'the curve 1.3.132.0.10'],
    ['a kind of key that Linux does not take', CERTIFICATES.ed, '1.3.101.112'],
  ])('with %s is refused', (_, certificate, text) => {
    expect(() => readCertificates(bytesOf(certificate))).toThrow(text);
  });

  it('that is damaged is refused, with the place', () => {
    const [first = new Uint8Array(), second = new Uint8Array()] = USED;
    expect(() => readCertificates(first.subarray(0, 300))).toThrow('no certificate at byte 0');
    expect(() => readCertificates(Uint8Array.of(...first, ...second.fill(0xff, 8, 20)))).toThrow(
      `the certificate at byte ${first.length} cannot be read`,
    );
    expect(() => readCertificates(utf8ToBytes('-----BEGIN CERTIFICATE-----'))).toThrow('expected DER');
  });
});
