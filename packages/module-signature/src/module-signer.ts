import { p256 } from '@noble/curves/nist.js';
import { hexToBytes } from '@noble/hashes/utils.js';
import { appendSignature } from './appended-signature.ts';
import type { TrustedCertificate } from './certificates.ts';
import { context, der, TAG } from './der.ts';
import { DIGESTS } from './digests.ts';
import { ModuleSignatureError } from './error.ts';

/** A key to sign with, and the certificate of its public half. */
export interface SigningKey {
  readonly certificate: TrustedCertificate;
  /** 32 bytes, of a key on P-256. */
  readonly secret: Uint8Array;
}

/** Object identifiers as they are written, but for the tag and the length. */
const IDS = {
  data: '2a864886f70d010701',
  signedData: '2a864886f70d010702',
  sha256: '608648016503040201',
  ecdsaWithSha256: '2a8648ce3d040302',
};
const CMS = der(TAG.integer, Uint8Array.of(3));

/**
 * Signs a module as scripts/sign-file does (CMS_NOCERTS, CMS_BINARY, CMS_NOATTR, CMS_DETACHED): with ECDSA on P-256 and SHA-256, the same each time
 * (RFC 6979). The key is named by its identifier.
 *
 * @throws {ModuleSignatureError} for a key of another kind, or a certificate without an identifier of its key
 */
export function signModule(content: Uint8Array, { certificate, secret }: SigningKey): Uint8Array {
  const { key, subjectKeyId, name } = certificate;
  if (key.kind !== 'ecdsa' || key.curve !== 'p256' || subjectKeyId === undefined)
    throw new ModuleSignatureError(`${name}: expected a key on P-256 with an identifier`);
  const signature = p256.sign(DIGESTS.sha256(content), secret, { prehash: false, format: 'der' });
  const digest = der(TAG.sequence, id(IDS.sha256));
  const signer = der(
    TAG.sequence,
    CMS,
    der(context(0, 'primitive'), hexToBytes(subjectKeyId)),
    digest,
    der(TAG.sequence, id(IDS.ecdsaWithSha256)),
    der(TAG.octetString, signature),
  );
  const signed = der(
    TAG.sequence,
    CMS,
    der(TAG.set, digest),
    der(TAG.sequence, id(IDS.data)),
    der(TAG.set, signer),
  );
  const message = der(TAG.sequence, id(IDS.signedData), der(context(0), signed));
  return appendSignature(content, message);
}

function id(hex: string): Uint8Array {
  return der(TAG.objectId, hexToBytes(hex));
}
