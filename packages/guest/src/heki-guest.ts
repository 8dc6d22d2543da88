import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { MappingLeaf } from '@heki/x86';
import type { HekiCommand } from './command.ts';
import type { HekiHypervisor, HekiSecureKernel } from './hypervisor/heki-hypervisor.ts';
import type { VirtualRange } from './kernel/kernel.ts';

/** How many mappings of a page carry each permission (`struct heki_counters`): signed 32-bit numbers under B-G7, else exact. */
export interface PermissionCounters {
  readonly read: number;
  readonly write: number;
  readonly execute: number;
}

/** A mapping that a caller names, instead of having it walked for. */
export type NamedLeaf = Pick<MappingLeaf, 'guestFrame' | 'frames' | 'low' | 'high'> & {
  /** How many mappings it stands for: more than 1 where several entries lead to its table. Default 1. */
  readonly places?: number;
};

/** The outcome of {@link HekiGuest.earlyInit}. */
export type EarlyInitResult =
  /** The kernel cannot be configured so: Heki is not in it. */
  | { readonly outcome: 'not-built'; readonly reasons: readonly string[] }
  /** `heki=0`. */
  | { readonly outcome: 'disabled' }
  /** Compiled with KASLR. */
  | { readonly outcome: 'kaslr' }
  /** No driver has filled {@link HekiGuest.hypervisor}. */
  | { readonly outcome: 'no-hypervisor' }
  /** The page tables have no end: from this virtual frame on nothing was counted, and so nothing can be protected. */
  | { readonly outcome: 'walk-stopped'; readonly stoppedAt: VirtualFrame }
  | {
      readonly outcome: 'counting';
      /** Mappings whose first frame is valid memory. */
      readonly leaves: number;
      /** Distinct frames that have counters now. */
      readonly pages: number;
    };

/** The outcome of {@link HekiGuest.lateInit}. `error` is a negative error number. */
export type LateInitResult =
  /** Early init did not get as far as counting. */
  | { readonly outcome: 'not-counting' }
  | { readonly outcome: 'registers-refused'; readonly error: number }
  /** Never under B-G3, where the error is dropped. */
  | { readonly outcome: 'memory-refused'; readonly error: number }
  /** The page tables have no end: what lies from this virtual frame on is not known, and nothing was asked for. Under B-G3, too. */
  | { readonly outcome: 'walk-stopped'; readonly error: number; readonly stoppedAt: VirtualFrame }
  /** Memory is protected, but the secure kernel goes on taking requests. */
  | { readonly outcome: 'end-of-boot-refused'; readonly error: number }
  | { readonly outcome: 'protected' };

/**
 * The Heki core of a guest kernel. The kernel calls it when it changes its mappings; the core keeps, for every physical
 * page, counters of the mappings that carry each permission, and tells the hypervisor what changed.
 *
 * The hooks return 0, or a negative error number: then the counters are as they were before the call, and the kernel
 * should not make its change. Under B-G3 they return 0 whatever the outcome. A hook called from inside another gives -35
 * (-EDEADLK): the kernel would hang there (B-G13). One that is cut short by page tables without end gives -7 (-E2BIG), whatever defects
 * there are. Ranges of virtual frames exclude their end.
 */
export interface HekiGuest {
  /**
   * The driver of the hypervisor that the kernel found, which fills it. That also makes `heki.hypervisor` point to its operations, in the kernel's
   * memory: what the core calls is read from there.
   */
  hypervisor: HekiHypervisor | undefined;
  /** `heki.protect_memory`, as the kernel's memory holds it: changes are sent to the hypervisor. */
  readonly protectsMemory: boolean;
  /**
   * Where a secure kernel owns the policy, from the end of late init on. The hooks ask the hypervisor for nothing any more then: they
   * refuse (-EPERM) what a page is not granted, and the kernel asks for code by what it is, here.
   */
  readonly secureKernel: Omit<HekiSecureKernel, 'loadPatches' | 'finishBoot'> | undefined;
  /** Where the core takes the direct map to be: under B-G20 a constant, otherwise known after early init. Empty if there is none. */
  readonly directMap: VirtualRange;

  /** `heki_early_init`: checks, then counts the kernel's mappings. */
  earlyInit(): EarlyInitResult;
  /** `heki_late_init`: locks control registers and protects memory. */
  lateInit(): LateInitResult;

  /** Call it after the mappings in the range were made. */
  map(start: VirtualFrame, end: VirtualFrame): number;
  /** Begins a change of mappings that the kernel is about to make. */
  beginChange(): MappingChange;
  /**
   * `heki_protect`: switches enforcement on and sends the permissions of every page mapped in the range, immutable unless writable;
   * without B-G24 also of every other page of RAM that has a mapping.
   */
  protect(start: VirtualFrame, end: VirtualFrame): number;
  /** Call it before the temporary writable mapping of 1 or 2 pages for patching is made. */
  textPokeStart(frames: readonly Gfn[]): number;
  /** Call it after that mapping is gone. */
  textPokeEnd(frames: readonly Gfn[]): number;
  /**
   * Does `command` for mappings that the caller names, in their order, then hands the list to the hypervisor: what
   * the other hooks do after their walk.
   */
  applyLeaves(command: HekiCommand, leaves: readonly NamedLeaf[], change?: AttributeChange): number;

  /** The counters of `frame`, `undefined` when it has none. */
  counters(frame: Gfn): PermissionCounters | undefined;
  /** MEM_ATTR bits that `frame` has by its counters: the union over its mappings, READ | WRITE without any. */
  permissions(frame: Gfn): number;
  /**
   * Visits every run of frames below `end` whose {@link permissions} are equal, from `start` on, in ascending order. `counted` tells
   * whether they have counters.
   */
  forEachPermissions(
    start: Gfn,
    end: Gfn,
    visit: (permissions: number, start: Gfn, end: Gfn, counted: boolean) => void,
  ): void;
  /** Distinct frames that have counters. */
  countedFrames(): number;
}

/**
 * A change of the kernel's mappings, from before its page tables change until it is in force. The core narrows before and widens after: what
 * pages lose is taken from them when they are named here, what they gain is granted by {@link inForce}. With B-G22 both happen at once, when
 * they are named. The methods return 0, or a negative error number, as {@link HekiGuest}'s do.
 */
export interface MappingChange {
  /** The mappings in the range will be taken away. */
  unmap(start: VirtualFrame, end: VirtualFrame): number;
  /**
   * The permissions in the range will change.
   *
   * @param set MEM_ATTR bits that every mapping gains
   * @param clear MEM_ATTR bits that every mapping loses
   */
  update(start: VirtualFrame, end: VirtualFrame, set: number, clear: number): number;
  /** `command` for mappings that the caller names, in their order. */
  leaves(
    command: Exclude<HekiCommand, typeof HekiCommand.PROTECT_MEMORY>,
    leaves: readonly NamedLeaf[],
    change?: AttributeChange,
  ): number;
  /**
   * The change is in force, in page tables and in what processors cache: grants what waits, of changes before this one, too, which an oops has
   * ended. When the hypervisor refuses, the pages go on having less than their mappings allow: take the change back, by another one.
   */
  inForce(): number;
}

/** Details of a command. */
export interface AttributeChange {
  /** UPDATE: MEM_ATTR bits that the mappings gain. Default 0. */
  readonly set?: number;
  /** UPDATE: MEM_ATTR bits that the mappings lose. Default 0. */
  readonly clear?: number;
  /** MEM_ATTR bits added to everything that is sent; IMMUTABLE is left out where WRITE is granted. Default 0. */
  readonly setGlobal?: number;
}
