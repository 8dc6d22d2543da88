import { p256, p384, p521 } from '@noble/curves/nist.js';
import { PKCS1_SHA256, PKCS1_SHA384, PKCS1_SHA512 } from 'micro-rsa-dsa-dh/rsa.js';
import type { PublicKey } from './certificates.ts';
import { DIGESTS, type DigestName } from './digests.ts';

/** What digests are made, and signatures checked with. Formats are no business of it: those are read before, the same for all. */
export interface SignatureArithmetic {
  digest(name: DigestName, content: Uint8Array): Uint8Array;
  /**
   * Whether `signature` is one of `content` by `key`: with RSA of PKCS#1 v1.5; with ECDSA the two numbers, big-endian, each as long as the curve's order. What
   * it throws counts as no.
   */
  isSignature(key: PublicKey, digest: DigestName, content: Uint8Array, signature: Uint8Array): boolean;
}

const RSA = { sha256: PKCS1_SHA256, sha384: PKCS1_SHA384, sha512: PKCS1_SHA512 };
const ECDSA = { p256, p384, p521 };

/** In JavaScript, which runs in a browser, too. */
export const javascriptArithmetic: SignatureArithmetic = {
  digest: (name, content) => DIGESTS[name](content),
  isSignature(key, digest, content, signature) {
    if (key.kind === 'rsa') return RSA[digest].verify({ n: key.n, e: key.e }, content, signature);
    // Half of all honest signatures have a large s: OpenSSL and Linux take both.
    const options = { prehash: false, lowS: false, format: 'compact' } as const;
    return ECDSA[key.curve].verify(signature, DIGESTS[digest](content), key.point, options);
  },
};
