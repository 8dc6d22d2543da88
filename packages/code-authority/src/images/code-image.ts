/** What a part of an image is. Init parts are given back once they have run. */
export type PartKind = 'text' | 'rodata' | 'data' | 'init-text' | 'init-rodata' | 'init-data';

/** Pages of an image, as they stand in the signed file: before anything was relocated or patched. */
export interface ImagePart {
  readonly kind: PartKind;
  /** A whole number of pages. */
  readonly bytes: Uint8Array;
}

/** A place in an image. */
export interface Place {
  /** Index into {@link CodeImage.parts}. */
  readonly part: number;
  /** Bytes from the part's beginning. */
  readonly offset: number;
}

/**
 * A place that gets the address of something.
 *
 * - `abs64`: 64 bits, R_X86_64_64
 * - `abs32s`: 32 bits, sign-extended, R_X86_64_32S
 * - `rel32`: 32 bits, the distance from the field, R_X86_64_PC32 and PLT32; a branch has the addend -4
 */
export interface Relocation {
  readonly at: Place;
  readonly kind: 'abs64' | 'abs32s' | 'rel32';
  /** A place of this image, or the name of what another image exports. */
  readonly to: Place | string;
  readonly addend: number;
}

/**
 * Something in the text that may be one of a few things. Which it is, is its *state*, a number; what bytes that is, only the owner says.
 *
 * - `jump-label`: 0 does nothing, 1 jumps (two bytes or five)
 * - `static-call`, `static-jump`: 0 does nothing, 1 returns 0 (a call) or returns (a jump), from 2 on a target
 * - `fentry`: 0 does nothing, from 1 on calls a tracer
 * - `lock`: 0 has the prefix LOCK, 1 has DS in its place
 */
export type SiteKind = 'jump-label' | 'static-call' | 'static-jump' | 'fentry' | 'lock';

export interface Site {
  readonly kind: SiteKind;
  readonly at: Place;
  /** 1 (a prefix), 2 (short jumps) or 5 bytes. */
  readonly length: 1 | 2 | 5;
  /** Sites with the same key change together in an honest kernel. */
  readonly key: string;
  /** Where a jump label leads. */
  readonly target?: Place;
  /** What a static call, or a hook, may lead to: functions of this image, or what others export. In the order of their states. */
  readonly targets?: readonly (Place | string)[];
}

/** An image of code: the kernel's, or a module's. What is signed is all of it. */
export interface CodeImage {
  readonly name: string;
  readonly parts: readonly ImagePart[];
  readonly relocations: readonly Relocation[];
  readonly sites: readonly Site[];
  /** What other images may refer to. */
  readonly exports: ReadonlyMap<string, Place>;
  /** Keys whose sites may change after the seal. All others keep the state that they had. */
  readonly changeable: ReadonlySet<string>;
  /** Code that the owner makes copies of, by name: trampolines of ftrace and kretprobes. */
  readonly templates?: ReadonlyMap<string, Template> | undefined;
  /** Of the kernel's: exports that compiled eBPF programs may call, or jump to at their end. Default none. */
  readonly helpers?: ReadonlySet<string>;
  /** Of the kernel's: where a processor's own data has the offset of it (`this_cpu_off`), which compiled eBPF programs may add. Default nowhere. */
  readonly ownOffset?: number;
}

/** Code that is copied, with at most one branch that is different in each copy. */
export interface Template {
  /** At most a page. */
  readonly bytes: Uint8Array;
  readonly branch?: {
    /** Where its distance stands: four bytes, from their end on. */
    readonly at: number;
    /** What it may lead to: names that images export. */
    readonly targets: readonly string[];
  };
}

/** Whether a part is executed. */
export function isText(kind: PartKind): boolean {
  return kind === 'text' || kind === 'init-text';
}

/** Whether a part is given back once it has run. */
export function isInit(kind: PartKind): boolean {
  return kind.startsWith('init-');
}
