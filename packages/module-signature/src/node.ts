import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { hexToBytes } from '@noble/hashes/utils.js';
import type { CurveName, PublicKey } from './certificates.ts';
import { der, TAG } from './der.ts';
import type { SignatureArithmetic } from './signature-arithmetic.ts';

/** Object identifiers as they are written, with tag and length (RFC 5480, 2.1.1). */
const EC_PUBLIC_KEY = hexToBytes('06072a8648ce3d0201');
const CURVES: { readonly [curve in CurveName]: Uint8Array } = {
  p256: hexToBytes('06082a8648ce3d030107'),
  p384: hexToBytes('06052b81040022'),
  p521: hexToBytes('06052b81040023'),
};
/** How a point begins, compressed or not (SEC 1, 2.3.3). OpenSSL takes a hybrid form beside, and none at all for infinity. */
const POINT_FORMS: ReadonlySet<number | undefined> = new Set([2, 3, 4]);

/** By OpenSSL, as Node has it: nothing has to be compiled before the first signature. */
export const nodeArithmetic: SignatureArithmetic = {
  digest: (name, content) => createHash(name).update(content).digest(),
  isSignature(key, digest, content, signature) {
    if (key.kind === 'ecdsa' && !POINT_FORMS.has(key.point[0])) return false;
    const how =
      key.kind === 'rsa'
        ? ({ padding: constants.RSA_PKCS1_PADDING } as const)
        : ({ dsaEncoding: 'ieee-p1363' } as const);
    return verify(digest, content, { key: keyObject(key), ...how }, signature);
  },
};

function keyObject(key: PublicKey): KeyObject {
  if (key.kind === 'rsa') {
    const jwk = { kty: 'RSA', n: base64url(key.n), e: base64url(key.e) };
    return createPublicKey({ key: jwk, format: 'jwk' });
  }
  const algorithm = der(TAG.sequence, EC_PUBLIC_KEY, CURVES[key.curve]);
  const info = der(TAG.sequence, algorithm, der(TAG.bitString, Uint8Array.of(0), key.point));
  return createPublicKey({ key: Buffer.from(info), format: 'der', type: 'spki' });
}

function base64url(number: bigint): string {
  const hex = number.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}
