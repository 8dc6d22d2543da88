import type { Gpa } from '@heki/physical-memory';
import type { HekiCodeAuthority } from './heki-code-authority.ts';

/** What a part of a module or of an image is: Linux's mod_mem_type. */
export type HekiSectionKind =
  | 'text'
  | 'data'
  | 'rodata'
  | 'ro-after-init'
  | 'init-text'
  | 'init-data'
  | 'init-rodata';

/** Guest-physical bytes `start` .. `end` - 1 and what they are. */
export interface HekiSection {
  readonly start: Gpa;
  /** Exclusive. */
  readonly end: Gpa;
  readonly kind: HekiSectionKind;
}

/** One step of text_poke, or what was computed beforehand for a site: 1 to 5 bytes. */
export interface HekiTextPatch {
  /** Where the bytes begin. */
  readonly address: Gpa;
  /** The page where they go on, when they straddle two. */
  readonly secondPage?: Gpa | undefined;
  readonly bytes: Uint8Array;
}

/**
 * What the guest core asks of a hypervisor: the `heki_hypervisor` operations of the series (Heki v2 4/19 and
 * 18/19). The core knows no hypervisor; a driver fills this port.
 */
export interface HekiHypervisor {
  /** Pins CR0.WP and the pinned CR4 bits that are set. 0, or a negative error number. */
  lockCrs(): number;
  /** Enforces the page list at `list`, the guest-physical address of its newest page. 0, or a negative error number. */
  protectMemory(list: Gpa): number;
  /** Only where somebody at a higher privilege level owns the policy, and takes nothing on trust once boot is over. */
  readonly secureKernel?: HekiSecureKernel;
  /** Only where somebody outside the guest owns its code. The kernel asks it, not the core. */
  readonly codeAuthority?: HekiCodeAuthority;
}

/**
 * The operations that the kernel of LVBS has beyond the series: from {@link finishBoot} on protectMemory is refused, and what needs code
 * asks by what it is. Each gives 0, or a negative error number. The core calls finishBoot, and gives the kernel the others, which
 * calls them where it is said here.
 */
export interface HekiSecureKernel {
  /** While it boots, as often as it likes: what its own text may be changed into later (LOAD_KDATA). */
  loadPatches(patches: readonly HekiTextPatch[]): number;
  /** At the end of late init. */
  finishBoot(): number;
  /**
   * In load_module, once relocations are done: compares and protects the parts.
   *
   * @param patches what the module's own text may be changed into later
   * @returns a token from 1 on, or a negative error number
   */
  validateModule(sections: readonly HekiSection[], patches: readonly HekiTextPatch[]): number;
  /** In do_free_init, before the pages of a module's init are freed. */
  freeModuleInit(token: number): number;
  /** In free_module, before its pages are freed. */
  unloadModule(token: number): number;
  /** In text_poke, in place of the store through the alias; -ENOENT (-2) when it knows no patch there. */
  patchText(patch: HekiTextPatch): number;
  /** Before kexec hands over, once the segments are in place. */
  validateKexec(segments: readonly HekiSection[]): number;
}
