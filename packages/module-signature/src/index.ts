export { type AppendedSignature, splitSignature } from './appended-signature.ts';
export { type CurveName, type PublicKey, readCertificates, type TrustedCertificate } from './certificates.ts';
export type { DigestName } from './digests.ts';
export { ModuleSignatureError } from './error.ts';
export { type SigningKey, signModule } from './module-signer.ts';
export {
  createModuleVerifier,
  type ModuleTrust,
  type ModuleVerifier,
  type SignatureFault,
  type VerifiedModule,
} from './module-verifier.ts';
export type { SignatureArithmetic } from './signature-arithmetic.ts';
