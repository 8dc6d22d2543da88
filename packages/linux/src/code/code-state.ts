import type { HekiCodeAuthority } from '@heki/guest';
import type { VirtualAddress } from '@heki/physical-memory';
import type { ModuleImage } from '../modules/module-image.ts';
import type { SignedSite } from './signed-sites.ts';

/** A site, and the numbers by which the owner of the code knows it. */
export interface NumberedSite {
  readonly image: number;
  readonly site: number;
  readonly kind: SignedSite['kind'];
  readonly length: number;
}

/** What the kernel keeps once its code is sealed: nothing that anybody has to believe. */
export interface SealedCode {
  readonly authority: HekiCodeAuthority;
  /** By address. */
  readonly sites: Map<VirtualAddress, NumberedSite>;
  /** Text that only the owner writes, by the number of its image. */
  readonly texts: Map<number, { readonly start: bigint; readonly end: bigint }>;
}

/** A kernel whose code may be sealed. */
export interface CodeState {
  /** `undefined` until it is, and where nobody owns it. */
  sealed: SealedCode | undefined;
  /** What of the kernel's own text may change, by the tables of its image: in the order of their numbers. */
  readonly signedSites: readonly SignedSite[];
  /** The signed file of a module, as user space hands it to finit_module. */
  readonly moduleFile: ((image: ModuleImage) => Uint8Array) | undefined;
}
