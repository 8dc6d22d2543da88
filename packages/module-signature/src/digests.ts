import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';

/** Digests that signatures may be of. SHA-1 is none: Linux signs nothing with it since 6.7. */
export type DigestName = 'sha256' | 'sha384' | 'sha512';

export const DIGESTS: { readonly [name in DigestName]: (bytes: Uint8Array) => Uint8Array } = {
  sha256,
  sha384,
  sha512,
};

/** By their object identifiers (RFC 5754). */
export const DIGEST_IDS: ReadonlyMap<string, DigestName> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);
