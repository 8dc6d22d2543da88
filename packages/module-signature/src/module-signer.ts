import { p256 } from '@noble/curves/nist.js';
import { hexToBytes } from '@noble/hashes/utils.js';
import {
  CMSVersion,
  ContentInfo,
  DigestAlgorithmIdentifier,
  EncapsulatedContentInfo,
  SignatureAlgorithmIdentifier,
  SignedData,
  SignerIdentifier,
  SignerInfo,
} from '@peculiar/asn1-cms';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { SubjectKeyIdentifier } from '@peculiar/asn1-x509';
import { appendSignature } from './appended-signature.ts';
import type { TrustedCertificate } from './certificates.ts';
import { DIGESTS } from './digests.ts';
import { ModuleSignatureError } from './error.ts';

/** A key to sign with, and the certificate of its public half. */
export interface SigningKey {
  readonly certificate: TrustedCertificate;
  /** 32 bytes, of a key on P-256. */
  readonly secret: Uint8Array;
}

const IDS = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  sha256: '2.16.840.1.101.3.4.2.1',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
};

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
  const digestAlgorithm = new DigestAlgorithmIdentifier({ algorithm: IDS.sha256 });
  const signer = new SignerInfo({
    version: CMSVersion.v3,
    sid: new SignerIdentifier({ subjectKeyIdentifier: new SubjectKeyIdentifier(hexToBytes(subjectKeyId)) }),
    digestAlgorithm,
    signatureAlgorithm: new SignatureAlgorithmIdentifier({ algorithm: IDS.ecdsaWithSha256 }),
    signature: new OctetString(signature),
  });
  const signed = new SignedData({
    version: CMSVersion.v3,
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: IDS.data }),
  });
  signed.digestAlgorithms.push(digestAlgorithm);
  signed.signerInfos.push(signer);
  const message = new ContentInfo({ contentType: IDS.signedData, content: AsnConvert.serialize(signed) });
  return appendSignature(content, new Uint8Array(AsnConvert.serialize(message)));
}
