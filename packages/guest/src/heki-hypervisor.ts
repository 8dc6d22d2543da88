import type { Gpa } from '@heki/physical-memory';

/** What a part of a module or of an image is: Linux's mod_mem_type, and the table of the text patches that belong to it. */
export type HekiSectionKind =
  | 'text'
  | 'data'
  | 'rodata'
  | 'ro-after-init'
  | 'init-text'
  | 'init-data'
  | 'init-rodata'
  | 'patches';

/** Guest-physical bytes `start` .. `end` - 1 and what they are. */
export interface HekiSection {
  readonly start: Gpa;
  /** Exclusive. */
  readonly end: Gpa;
  readonly kind: HekiSectionKind;
}

/** One step of text_poke: 1 to 5 bytes. */
export interface HekiTextPatch {
  /** Where the bytes begin. */
  readonly address: Gpa;
  /** The page where they go on, when they straddle two. */
  readonly secondPage?: Gpa;
  readonly bytes: Uint8Array;
}

/**
 * What the guest core asks of a hypervisor: the `heki_hypervisor` operations of the series (Heki v2 4/19 and
 * 18/19). The core knows no hypervisor; a driver fills this port.
 *
 * The optional operations are those that the kernel of LVBS has beyond the series, for a hypervisor whose policy lives at a higher privilege
 * level. The core calls none of them: a kernel does, where it is said here.
 */
export interface HekiHypervisor {
  /** Pins CR0.WP and the pinned CR4 bits that are set. 0, or a negative error number. */
  lockCrs(): number;
  /** Enforces the page list at `list`, the guest-physical address of its newest page. 0, or a negative error number. */
  protectMemory(list: Gpa): number;

  /** At the end of late init: from now on {@link protectMemory} is refused. 0, or a negative error number. */
  finishBoot?(): number;
  /** In load_module, once relocations are done: compares and protects the parts. A token from 1 on, or a negative error number. */
  validateModule?(sections: readonly HekiSection[]): number;
  /** In do_free_init, before the pages of a module's init are freed. 0, or a negative error number. */
  freeModuleInit?(token: number): number;
  /** In free_module, before its pages are freed. 0, or a negative error number. */
  unloadModule?(token: number): number;
  /** In text_poke, in place of the store through the alias. 0, or a negative error number. */
  patchText?(patch: HekiTextPatch): number;
  /** In kexec_load, once the segments are in place. 0, or a negative error number. */
  kexecValidate?(segments: readonly HekiSection[]): number;
}
