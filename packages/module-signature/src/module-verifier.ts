import { bytesToHex } from '@noble/hashes/utils.js';
import { splitSignature } from './appended-signature.ts';
import type { PublicKey, TrustedCertificate } from './certificates.ts';
import { DIGEST_IDS, type DigestName } from './digests.ts';
import { ecdsaNumbers } from './ecdsa-signature.ts';
import { javascriptArithmetic, type SignatureArithmetic } from './signature-arithmetic.ts';
import { readSignerInfo } from './signer-info.ts';

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
   * What is blocked, in lower-case hexadecimal: digests of files without their signature (`bin:` in Linux's blacklist; SHA-256, or what the signature is of),
   * digests of what certificates' issuers signed (`tbs:`), and identifiers of keys. Default nothing.
   */
  readonly blocked?: ReadonlySet<string>;
  /** What digests are made and signatures checked with. Default JavaScript's; `nodeArithmetic` of `@heki/module-signature/node` is faster. */
  readonly arithmetic?: SignatureArithmetic | undefined;
}

/** Checks signatures of modules, as Linux does it before it loads one. */
export interface ModuleVerifier {
  /** Never throws: what a guest hands over may be anything. */
  verify(file: Uint8Array): VerifiedModule;
}

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const ECDSA_WITH: ReadonlyMap<string, DigestName> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
]);

export function createModuleVerifier({
  certificates,
  blocked = new Set(),
  arithmetic = javascriptArithmetic,
}: ModuleTrust): ModuleVerifier {
  return {
    verify(file) {
      const parts = splitSignature(file);
      if (!parts.ok) return parts;
      const signer = readSignerInfo(parts.message);
      if (typeof signer === 'string') return { ok: false, why: 'malformed', text: signer };
      const { named, kind, signature } = signer;
      const digest = DIGEST_IDS.get(signer.digest);
      if (digest === undefined) return refused('unsupported', `a digest of the type ${signer.digest}`);
      const certificate = certificates.find((one) => one[named.by] === named.id);
      if (certificate === undefined) return refused('unknown-key', 'no trusted certificate has its key');
      if (isBlocked(blocked, arithmetic, parts.content, digest, certificate))
        return refused('blocked', `the file, or the key of ${certificate.name}, is blocked`);
      const fits = certificate.key.kind === 'rsa' ? kind === RSA_ENCRYPTION : ECDSA_WITH.get(kind) === digest;
      if (!fits)
        return refused('unsupported', `a signature of the type ${kind} by a key for ${certificate.key.kind}`);
      if (!isSignature(arithmetic, certificate.key, digest, parts.content, signature))
        return refused('wrong', `not signed by ${certificate.name}, or changed since`);
      return { ok: true, content: parts.content, signer: certificate, digest };
    },
  };
}

function refused(why: SignatureFault, text: string): VerifiedModule {
  return { ok: false, why, text };
}

/** A file is named by its SHA-256, as in UEFI's dbx, or by the digest that was signed, as Linux names it. */
function isBlocked(
  blocked: ReadonlySet<string>,
  arithmetic: SignatureArithmetic,
  content: Uint8Array,
  digest: DigestName,
  { tbsDigests, subjectKeyId }: TrustedCertificate,
): boolean {
  if (blocked.size === 0) return false;
  if (tbsDigests.some((one) => blocked.has(one)) || blocked.has(subjectKeyId ?? '')) return true;
  const names = ['sha256', digest] as const;
  return names.some((name) => blocked.has(bytesToHex(arithmetic.digest(name, content))));
}

function isSignature(
  arithmetic: SignatureArithmetic,
  key: PublicKey,
  digest: DigestName,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const bytes = key.kind === 'rsa' ? signature : ecdsaNumbers(signature, key.curve);
    return arithmetic.isSignature(key, digest, content, bytes);
  } catch {
    return false;
  }
}
