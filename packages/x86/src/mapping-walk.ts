import type { Gfn, PhysicalMemory, VirtualFrame } from '@heki/physical-memory';
import type { PagingLevels } from './canonical.ts';
import type { LeafLevel } from './entry.ts';

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
  /** For each level 1 to 5 (index 0 unused): an entry counts as present when any of these low-half bits is set. */
  readonly present: readonly [number, number, number, number, number, number];
  /** For levels 2 and 3: a present entry is a leaf when all of these low-half bits are set. */
  readonly leaf: number;
  /** The frame of a leaf without P is stored inverted (Linux, arch/x86/include/asm/pgtable-invert.h). */
  readonly invertedWhenNotPresent: boolean;
}
/** What to walk. */
export interface MappingWalkOptions {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** Default {@link HARDWARE_PRESENCE}. */
  readonly presence?: PresencePolicy;
  /** Most table pages to read; tables that are reached twice count twice. Default 2^20. */
  readonly budget?: number;
}

/** What a mapping walk did. */
export interface MappingWalkResult {
  /** `undefined`: all was walked. Else the virtual frame at which the budget was used up. */
  readonly stoppedAt: VirtualFrame | undefined;
  readonly leaves: number;
  /** Table pages read. */
  readonly tables: number;
  /** Tables that entries point to, but memory does not hold. */
  readonly absentTables: number;
}
