import { bytesToHex } from '@noble/hashes/utils.js';
import { readAlgorithm } from './algorithm.ts';
import { context, DerError, DerReader, objectId, TAG } from './der.ts';

/** Who signed a message, and with what. */
export interface SignerInfo {
  /** What a certificate has as `issuerAndSerial`, or as `subjectKeyId`. */
  readonly named: { readonly by: 'issuerAndSerial' | 'subjectKeyId'; readonly id: string };
  /** Object identifiers. */
  readonly digest: string;
  readonly kind: string;
  readonly signature: Uint8Array;
}

const DATA = '1.2.840.113549.1.7.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
/** Versions: with the key named by issuer and number (PKCS#7), or by its identifier (CMS). Linux wants the same in both places. */
const PKCS7 = 1;
const CMS = 3;

/**
 * The one signer of a detached message without attributes (RFC 5652, 5): what sign-file makes, and pkcs7_verify wants of a module. Or what is wrong with the
 * message, in words.
 */
export function readSignerInfo(message: Uint8Array): SignerInfo | string {
  try {
    return signerInfo(message);
  } catch (error) {
    if (error instanceof DerError) return `its signature is no PKCS#7 message in DER: ${error.message}`;
    throw error;
  }
}

function signerInfo(message: Uint8Array): SignerInfo | string {
  const file = new DerReader(message);
  const outer = file.into(TAG.sequence);
  file.end();
  const type = objectId(outer.next(TAG.objectId).content);
  if (type !== SIGNED_DATA) return `a message of the type ${type}: expected PKCS#7 signed data`;
  const explicit = outer.into(context(0));
  outer.end();
  const signed = explicit.into(TAG.sequence);
  explicit.end();

  const version = readVersion(signed);
  const digests = signed.into(TAG.set);
  while (!digests.isAtEnd) readAlgorithm(digests);
  const content = signed.into(TAG.sequence);
  if (objectId(content.next(TAG.objectId).content) !== DATA || !content.isAtEnd)
    return 'what is signed is in the message: expected a detached signature of data';
  for (const number of [0, 1]) {
    if (signed.optional(context(number)) !== undefined)
      return 'it has certificates or lists of revoked ones in it: expected none for a module';
  }
  const signers = signed.into(TAG.set);
  signed.end();
  if (signers.isAtEnd) return 'no signer: expected one';
  const signer = signers.into(TAG.sequence);
  if (!signers.isAtEnd) return 'several signers: expected one';
  return readSigner(signer, version);
}

function readSigner(signer: DerReader, version: number): SignerInfo | string {
  const own = readVersion(signer);
  if (own !== version)
    return `a signer of version ${own} in a message of version ${version}: expected the same`;
  const named = version === CMS ? byKeyId(signer) : byIssuerAndSerial(signer);
  const digest = readAlgorithm(signer).id;
  for (const number of [0, 2]) {
    if (signer.optional(context(number)) !== undefined)
      return 'it has signed attributes: expected none for a module';
  }
  const kind = readAlgorithm(signer).id;
  const signature = signer.next(TAG.octetString).content;
  signer.end();
  return { named, digest, kind, signature };
}

function byKeyId(signer: DerReader): SignerInfo['named'] {
  return { by: 'subjectKeyId', id: bytesToHex(signer.next(context(0, 'primitive')).content) };
}

function byIssuerAndSerial(signer: DerReader): SignerInfo['named'] {
  const parts = signer.into(TAG.sequence);
  const id = issuerAndSerial(parts.next(TAG.sequence).whole, parts.next(TAG.integer).content);
  parts.end();
  return { by: 'issuerAndSerial', id };
}

/** How a certificate is named by who issued it and its number there. */
export function issuerAndSerial(issuer: Uint8Array, serial: Uint8Array): string {
  return `${bytesToHex(issuer)}:${bytesToHex(serial)}`;
}

/** pkcs7_note_signeddata_version and pkcs7_note_signerinfo_version: 1 or 3, in one byte. */
function readVersion(from: DerReader): number {
  const [version, ...more] = from.next(TAG.integer).content;
  if ((version !== PKCS7 && version !== CMS) || more.length > 0)
    throw new DerError('a version that is neither 1 nor 3');
  return version;
}
