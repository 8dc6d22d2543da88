import {
  type Gfn,
  hex,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import type { PagingLevels } from '../canonical.ts';
import { EntryLow, type LeafLevel } from '../entries/entry.ts';
import { X86Error } from '../error.ts';

/** A mapping that a walk found: one leaf, or the part of it that lies in the range walked. */
export interface MappingLeaf {
  /** First virtual frame, canonical. */
  readonly virtualFrame: VirtualFrame;
  /** First guest frame. */
  readonly guestFrame: Gfn;
  /** Number of 4-KiB frames: less than the leaf's size where the range cuts it. */
  readonly frames: number;
  readonly level: LeafLevel;
  /** The leaf entry, both halves. */
  readonly low: number;
  readonly high: number;
  /** WRITE, USER and EXECUTE_DISABLE of `PageRights` over all levels. */
  readonly effective: number;
}

/**
 * Which entries a mapping walk follows. The processor looks at P alone; an operating system's walker may see more,
 * because it keeps bits in entries that are not present.
 */
export interface PresencePolicy {
  readonly name: string;
  /** By level 1 to 5 (index 0 is unused): an entry counts as present when any of these bits of its low half is set. */
  readonly present: readonly [
    unused: 0,
    pte: number,
    pde: number,
    pdpte: number,
    pml4e: number,
    pml5e: number,
  ];
  /** A present PDE or PDPTE is a leaf when all of these bits of its low half are set. */
  readonly leaf: number;
  /** The frame of a PTE with P = 0 is stored with all its bits inverted. */
  readonly invertedWhenNotPresent: boolean;
}

const { P, PS, G } = EntryLow;

/** What the processor follows: P, and PS for leaves (SDM 3A 4.5). */
export const HARDWARE_PRESENCE: PresencePolicy = {
  name: 'hardware',
  present: [0, P, P, P, P, P],
  leaf: PS,
  invertedWhenNotPresent: false,
};

/**
 * What Linux's helpers follow, and so the walker of the series (Heki v2 13/19): `pte_present` takes _PAGE_PROTNONE
 * (bit 8) for present, too, and `pmd_present` also _PAGE_PSE (defect B-G15: a 2-MiB entry that is not present is walked
 * like a mapping); `pud_large` and `pmd_large` want P and PSE. The frame of a PTE without P is stored inverted
 * (arch/x86/include/asm/pgtable-invert.h).
 */
export const LINUX_PRESENCE: PresencePolicy = {
  name: 'linux',
  present: [0, P | G, P | G | PS, P, P, P],
  leaf: P | PS,
  invertedWhenNotPresent: true,
};

/** What to walk. */
export interface MappingWalkOptions {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** Default {@link HARDWARE_PRESENCE}. */
  readonly presence?: PresencePolicy;
  /**
   * Most table pages to read, so that tables which point to each other end: one that is reached twice counts twice.
   * Default {@link DEFAULT_TABLE_BUDGET}.
   */
  readonly budget?: number;
}

/** 2^20 table pages: 2 TiB mapped by 4-KiB pages. */
export const DEFAULT_TABLE_BUDGET: number = 2 ** 20;

/** What a mapping walk did. */
export interface MappingWalkResult {
  /** `undefined`: all was walked. Else the budget was used up, and everything before this virtual frame was walked. */
  readonly stoppedAt: VirtualFrame | undefined;
  readonly leaves: number;
  /** Table pages read. */
  readonly tables: number;
  /** Tables that entries point to, but memory does not hold. */
  readonly absentTables: number;
}

/** @throws {X86Error} unless `start` and `end` are virtual frame numbers, 0 .. 2^52 */
export function checkVirtualRange(start: VirtualFrame, end: VirtualFrame): void {
  for (const frame of [start, end]) {
    if (!Number.isSafeInteger(frame) || frame < 0 || frame > VIRTUAL_FRAME_END) {
      throw new X86Error(
        `${hex(frame)} bounds no range of virtual frames: expected 0 to ${hex(VIRTUAL_FRAME_END)}`,
      );
    }
  }
}
