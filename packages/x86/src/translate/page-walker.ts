import type { Gfn, Pfn, PhysicalMemory, VirtualFrame } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import type { PagingRegisters } from '../registers/registers.ts';

/** How {@link PageWalker.walk} ended. */
export const WalkOutcome = {
  MAPPED: 0,
  /** {@link PageWalker.errorCode} holds the error code; CR2 is the address walked. */
  PAGE_FAULT: 1,
  /** Not canonical, or a violation of LASS: #GP(0) or #SS(0). */
  GENERAL_PROTECTION: 2,
  /** No memory at {@link PageWalker.guestFrame}, where the table for an entry of {@link PageWalker.level} should be. */
  ABSENT_TABLE: 3,
  /** The second level refused {@link PageWalker.guestFrame} + {@link PageWalker.guestOffset}; its `fault` tells why. */
  SECOND_LEVEL: 4,
} as const;

/** One of {@link WalkOutcome}. */
export type WalkOutcome = (typeof WalkOutcome)[keyof typeof WalkOutcome];

/**
 * The page walk of one virtual CPU, made for speed: no bigint, no allocation, no closure per walk. Results stand in
 * fields of the walker until the next walk. The same rules as `translate`, but accessed and dirty flags are really set.
 */
export interface PageWalker {
  /**
   * Takes over registers. Call it whenever one of them changed.
   *
   * @throws {X86Error} when paging is on outside long mode: 32-bit and PAE paging are not modelled
   */
  setRegisters(registers: PagingRegisters): void;
  /**
   * Translates the linear address `virtualFrame << 12 | offset` (offset 0 .. 4095) for `access`, an OR of `AccessBits`.
   * With paging off, the frame's bits from 20 on are ignored (linear addresses have 32 bits then).
   */
  walk(virtualFrame: VirtualFrame, offset: number, access: number): WalkOutcome;
  /**
   * The permission checks alone, with the current registers, for a translation that a TLB holds: 0 when the access is
   * allowed, else the error code of #PF.
   *
   * @param rights an OR of `PageRights`, as `rights` had it
   * @param key the protection key, as `key` had it
   * @param access an OR of `AccessBits`
   */
  check(rights: number, key: number, access: number): number;
  /**
   * Whether LASS refuses the access with the current registers: #GP(0) or #SS(0). {@link walk} asks this by itself; a TLB must ask
   * before it looks.
   */
  violatesLass(virtualFrame: VirtualFrame, access: number): boolean;

  /** After PAGE_FAULT: the error code. After ABSENT_TABLE: that of an entry that is not present. */
  readonly errorCode: number;
  /** After MAPPED: the 4-KiB host frame of the address; without a second level, the same number as {@link guestFrame}. */
  readonly frame: Pfn;
  /** After MAPPED: the 4-KiB guest frame of the address. After ABSENT_TABLE and SECOND_LEVEL: the frame concerned. */
  readonly guestFrame: Gfn;
  /** After SECOND_LEVEL and ABSENT_TABLE: the offset in {@link guestFrame}. */
  readonly guestOffset: number;
  /** After MAPPED: the level of the guest's leaf, 1 to 3 (1 with paging off). After ABSENT_TABLE: the level of the entry. */
  readonly level: number;
  /**
   * After MAPPED, until the second level is asked again: the smaller of the guest's and the second level's leaf, 1 to 3:
   * what one TLB entry may cover.
   */
  readonly translationLevel: number;
  /** After MAPPED: an OR of `PageRights`; DIRTY as it is after the walk. */
  readonly rights: number;
  /** After MAPPED, until the second level is asked again: what else it would allow, an OR of `SecondLevelRights`; all without one. */
  readonly secondLevelRights: number;
  /** After MAPPED: the protection key of the leaf, 0 to 15. */
  readonly key: number;
  /** After SECOND_LEVEL: the refused access was one to a guest entry, not to the page. */
  readonly refusedPagingStructure: boolean;
}

/** What a page walker is made of. */
export interface PageWalkerOptions {
  /** Where guest tables are read: guest-physical memory, or with a second level the host's. */
  readonly memory: PhysicalMemory<Gfn> | PhysicalMemory<Pfn>;
  readonly registers: PagingRegisters;
  /** `INTEL_VT_RP` when left out. */
  readonly processor?: CpuProfile;
  readonly secondLevel?: SecondLevel;
}
