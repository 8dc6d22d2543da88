export { type Answer, complete, type Refusal, type Request } from './answer.ts';
export {
  type CodeAuthority,
  type CodeAuthorityOptions,
  createCodeAuthority,
  type ImageView,
  type SignedCode,
} from './code-authority.ts';
export { CodeAuthorityError } from './error.ts';
export type { FrameEntry } from './frames/frame-table.ts';
export { type FrameRights, type FrameType, RIGHTS } from './frames/frame-type.ts';
export type { AuthorityHost } from './host.ts';
export { type Bases, type BuiltImage, buildImage, type Resolve } from './images/build-image.ts';
export type {
  CodeImage,
  ImagePart,
  PartKind,
  Place,
  Relocation,
  Site,
  SiteKind,
  Template,
} from './images/code-image.ts';
export type { BootedKernel, SignedKernel } from './images/signed-kernel.ts';
export { statesOf } from './images/site-bytes.ts';
export { acceptProgram } from './jit/accept-program.ts';
export type { Surroundings } from './jit/judge-program.ts';
export type { ProgramPlace } from './requests/jit.ts';
export type { FileInGuest } from './requests/load.ts';
export type { Poke } from './requests/poke.ts';
export type { Placement } from './requests/seal.ts';
export { checkSavedAuthority, type SavedAuthority } from './saved-authority.ts';
export { type AuthorityDefectId, authorityDefects } from './weaker/authority-defects.ts';
