import type { FrameRange, Gfn, PhysicalMemory, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';

/** A page that the kernel's allocator gave out. */
export interface KernelPage {
  readonly frame: Gfn;
  /** Where the kernel has it mapped: what `page_address` gives. */
  readonly address: VirtualAddress;
}

/** The virtual frames `start` .. `end` - 1. */
export interface VirtualRange {
  readonly start: VirtualFrame;
  /** Exclusive; at most 2^52. */
  readonly end: VirtualFrame;
}

/** What a driver does for the core: a pointer to a function each. */
export type HekiOperation = 'lockCrs' | 'protectMemory';

/**
 * The core's global variables in the memory of the kernel. An access that does not complete ends the function of the kernel that the core was called
 * from: it throws what the kernel ends its functions with, and the core lets that pass.
 */
export interface HekiVariables {
  /** `struct heki`: 24 bytes, zero at first. */
  readonly heki: VirtualAddress;
  /** The driver's `struct heki_hypervisor`: 16 bytes. */
  readonly operations: VirtualAddress;
  /** Where the code of the driver's functions begins. */
  readonly code: { readonly [operation in HekiOperation]: VirtualAddress };
  /** Loads a little-endian number from any address: pointers lead anywhere. */
  load(address: VirtualAddress, bytes: 1 | 8): bigint;
  /** Stores to one of the variables. */
  store(address: VirtualAddress, bytes: 1 | 8, value: bigint): void;
  /** Calls the function at `address`, whose code does `run`; without `run` it is not the core's, and the call does not return. */
  call(address: VirtualAddress, run: (() => number) | undefined): number;
  /** A byte of the variables as memory holds it, for who only looks on. */
  peek(address: VirtualAddress): number;
}

/**
 * What the Heki core needs of the kernel that it is part of. The core never writes physical memory by itself: in a
 * living kernel every store goes through a virtual CPU, or nothing would be enforced.
 */
export interface HekiKernel {
  /** Guest-physical memory, from which the core reads page tables. */
  readonly memory: PhysicalMemory<Gfn>;
  /** The frame of `init_mm`'s root table. */
  readonly pageTableRoot: Gfn;
  readonly levels: PagingLevels;
  /** The C-bit, where memory encryption is on: `sme_me_mask`, which `pte_pfn` leaves out. */
  readonly encryptionBit?: number | undefined;
  /**
   * The frames for which `pfn_valid` holds, ascending and disjoint. May be replaced by a new array when memory is
   * added or removed.
   */
  readonly validFrames: readonly FrameRange<Gfn>[];
  /** The frames that are RAM, ascending and disjoint. Looked at only without B-G24. Default: {@link validFrames}. */
  readonly ramFrames?: readonly FrameRange<Gfn>[];
  /** Where the direct map lies (`page_offset_base`); empty if there is none. Under B-G20 it is not looked at: the core has a constant. */
  readonly directMap: VirtualRange;
  /**
   * The frames whose text and rodata stay as they are as long as the kernel runs, ascending and disjoint: those of its image. Only they become
   * immutable at protection, unless B-G16. Absent when not known: then everything read-only does.
   */
  readonly finalFrames?: readonly FrameRange<Gfn>[];
  /**
   * Lets the other processors run, when somebody models them. Called after each mapping that a walk has met, under B-G14 alone: without it
   * the walk holds init_mm's lock, and they change no table meanwhile.
   */
  readonly interleave?: () => void;
  /** Where the core's global variables lie, in a kernel that was built with the core. Otherwise it keeps them to itself. */
  readonly variables?: HekiVariables;
  /**
   * A page for a page list, or `undefined` when there is none. With `reclaim` (GFP_KERNEL) the kernel may unmap memory to
   * find one, which calls `HekiGuest.unmap` from inside this call (B-G13).
   */
  allocatePage(reclaim: boolean): KernelPage | undefined;
  freePage(page: KernelPage): void;
  /** Stores `bytes` at `offset` of a page from {@link allocatePage}. `false` when the store faulted. */
  store(page: KernelPage, offset: number, bytes: Uint8Array): boolean;
}

/** The configuration of the kernel that the core is built into, as far as Heki looks at it. */
export interface KernelConfig {
  /** CONFIG_RANDOMIZE_BASE: KASLR is compiled in. Default false. */
  readonly RANDOMIZE_BASE?: boolean;
  /** CONFIG_JUMP_LABEL. Default false. */
  readonly JUMP_LABEL?: boolean;
  /** CONFIG_X86_5LEVEL. Default true. */
  readonly X86_5LEVEL?: boolean;
  /** CONFIG_KUNIT, built in. Default false. */
  readonly KUNIT?: boolean;
}
