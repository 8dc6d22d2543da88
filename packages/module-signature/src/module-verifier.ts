import { p256, p384, p521 } from '@noble/curves/nist.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { ContentInfo, SignedData, type SignerInfo } from '@peculiar/asn1-cms';
import { AsnConvert } from '@peculiar/asn1-schema';
import { PKCS1_SHA256, PKCS1_SHA384, PKCS1_SHA512 } from 'micro-rsa-dsa-dh/rsa.js';
import { splitSignature } from './appended-signature.ts';
import { hexOf, issuerAndSerial, type PublicKey, type TrustedCertificate } from './certificates.ts';
import { DIGEST_IDS, DIGESTS, type DigestName } from './digests.ts';

/** Why a file's signature does not count. */
export type SignatureFault =
  /** There is none. */
  | 'unsigned'
  | 'malformed'
  /** Of a kind that Linux does not accept for modules, or that is left out here. */
  | 'unsupported'
  /** No trusted certificate has the key. */
  | 'unknown-key'
  /** The file, the certificate or the key is on the blocklist. */
  | 'blocked'
  /** Another file was signed, or by another key. */
  | 'wrong';

export type VerifiedModule =
  | {
      readonly ok: true;
      /** What was signed, without the signature: a view of the file. */
      readonly content: Uint8Array;
      readonly signer: TrustedCertificate;
      readonly digest: DigestName;
    }
  | { readonly ok: false; readonly why: SignatureFault; readonly text: string };

/** Who is trusted, and what is not in spite of that. */
export interface ModuleTrust {
  readonly certificates: readonly TrustedCertificate[];
  /**
   * What is blocked, as SHA-256 in lower-case hexadecimal: of files without their signature (`bin:` in Linux's blacklist), of what certificates' issuers
   * signed (`tbs:`), and identifiers of keys. Default nothing.
   */
  readonly blocked?: ReadonlySet<string>;
}

/** Checks signatures of modules, as Linux does it before it loads one. */
export interface ModuleVerifier {
  /** Never throws: what a guest hands over may be anything. */
  verify(file: Uint8Array): VerifiedModule;
}

const DATA = '1.2.840.113549.1.7.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const ECDSA_WITH: ReadonlyMap<string, DigestName> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
]);
const RSA = { sha256: PKCS1_SHA256, sha384: PKCS1_SHA384, sha512: PKCS1_SHA512 };
const ECDSA = { p256, p384, p521 };

export function createModuleVerifier({ certificates, blocked = new Set() }: ModuleTrust): ModuleVerifier {
  return {
    verify(file) {
      const parts = splitSignature(file);
      if (!parts.ok) return parts;
      const signer = signerOf(parts.message);
      if (typeof signer === 'string') return { ok: false, why: 'malformed', text: signer };
      const digest = DIGEST_IDS.get(signer.digestAlgorithm.algorithm);
      if (digest === undefined)
        return refused('unsupported', `a digest of the type ${signer.digestAlgorithm.algorithm}`);
      const named = nameOfKey(signer);
      const certificate = certificates.find(
        (one) => one.issuerAndSerial === named || one.subjectKeyId === named,
      );
      if (certificate === undefined) return refused('unknown-key', 'no trusted certificate has its key');
      const listed = [
        bytesToHex(DIGESTS.sha256(parts.content)),
        certificate.tbsDigest,
        certificate.subjectKeyId ?? '',
      ];
      if (listed.some((one) => blocked.has(one)))
        return refused('blocked', `the file, or the key of ${certificate.name}, is blocked`);
      const kind = signer.signatureAlgorithm.algorithm;
      const fits = certificate.key.kind === 'rsa' ? kind === RSA_ENCRYPTION : ECDSA_WITH.get(kind) === digest;
      if (!fits)
        return refused('unsupported', `a signature of the type ${kind} by a key for ${certificate.key.kind}`);
      if (!isSignature(certificate.key, digest, parts.content, new Uint8Array(signer.signature.buffer)))
        return refused('wrong', `not signed by ${certificate.name}, or changed since`);
      return { ok: true, content: parts.content, signer: certificate, digest };
    },
  };
}

function refused(why: SignatureFault, text: string): VerifiedModule {
  return { ok: false, why, text };
}

/** Reads a message. It must be DER, which writes everything in one way only: what the parser takes beyond that is refused. */
function signedDataOf(message: Uint8Array): SignedData | string {
  try {
    const outer = AsnConvert.parse(message.slice(), ContentInfo);
    if (outer.contentType !== SIGNED_DATA)
      return `a message of the type ${outer.contentType}: expected PKCS#7 signed data`;
    const signed = AsnConvert.parse(outer.content, SignedData);
    outer.content = AsnConvert.serialize(signed);
    const der = new Uint8Array(AsnConvert.serialize(outer));
    const isSame = der.length === message.length && der.every((byte, index) => byte === message[index]);
    return isSame ? signed : 'its signature is not DER';
  } catch {
    return 'its signature is no PKCS#7 message';
  }
}

/** The one signer of a detached message without attributes: what sign-file makes, and pkcs7_verify wants of a module. */
function signerOf(message: Uint8Array): SignerInfo | string {
  const signed = signedDataOf(message);
  if (typeof signed === 'string') return signed;
  const { encapContentInfo, signerInfos } = signed;
  if (encapContentInfo.eContentType !== DATA || encapContentInfo.eContent !== undefined)
    return 'what is signed is in the message: expected a detached signature of data';
  const [signer] = signerInfos;
  if (signer === undefined || signerInfos.length !== 1) return `${signerInfos.length} signers: expected one`;
  return signer.signedAttrs === undefined ? signer : 'it has signed attributes: expected none for a module';
}

function nameOfKey({ sid }: SignerInfo): string {
  if (sid.subjectKeyIdentifier !== undefined) return hexOf(sid.subjectKeyIdentifier.buffer);
  const by = sid.issuerAndSerialNumber;
  return by === undefined ? 'nothing' : issuerAndSerial(by.issuer, by.serialNumber);
}

function isSignature(
  key: PublicKey,
  digest: DigestName,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    if (key.kind === 'rsa') return RSA[digest].verify({ n: key.n, e: key.e }, content, signature);
    // Half of all honest signatures have a large s: OpenSSL and Linux take both.
    const options = { prehash: false, lowS: false, format: 'der' } as const;
    return ECDSA[key.curve].verify(signature, DIGESTS[digest](content), key.point, options);
  } catch {
    return false;
  }
}
