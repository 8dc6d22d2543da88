import {
  type Gfn,
  hex,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import { checkLevels, lowerHalfEnd, type PagingLevels, upperHalfStart } from '../canonical.ts';
import { framesOfLevel, type LeafLevel, type Level } from '../entries/entry.ts';
import { X86Error } from '../error.ts';
import type { PresencePolicy } from './presence-policy.ts';

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
  /** At how many places of the range it stands: 1, or more where several entries lead to its table. */
  readonly places: number;
}

/** A place where a table stands whose mappings the walk has visited at another place, under the same rights. */
export interface SharedTable {
  /** First virtual frame of the place, and the number of frames that the table spans. */
  readonly virtualFrame: VirtualFrame;
  readonly frames: number;
  readonly table: Gfn;
  /** Of the table's entries. */
  readonly level: Level;
  /** The place at which its mappings were visited. */
  readonly visitedAt: VirtualFrame;
  /** Mappings in a place, through the tables below it too: at least 1. */
  readonly mappings: number;
}

/** What to walk. */
export interface MappingWalkOptions {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** The C-bit, 32 .. 51, where memory encryption is on: it is not part of any frame. */
  readonly encryptionBit?: number | undefined;
  /** Default {@link HARDWARE_PRESENCE}. */
  readonly presence?: PresencePolicy;
  /**
   * Kernels let many entries lead to one table: those of KASAN's shadow of untouched memory, and of espfix. Such a table is visited
   * `once` for each level and rights over all levels above, at its first place; or, as a processor would go through it, at `each`
   * place, of which there may be 2^36. Default `once`.
   */
  readonly sharedTables?: 'once' | 'each';
  /** Told, between the visits, of each place that was passed over. Gets an object of its own. */
  readonly onShared?: (place: SharedTable) => void;
  /** Most table pages to look for, so that hostile tables come to an end. Default {@link DEFAULT_TABLE_BUDGET}. */
  readonly budget?: number;
}

/** 2^20 table pages: 2 TiB mapped by 4-KiB pages. */
export const DEFAULT_TABLE_BUDGET: number = 2 ** 20;

/** What a mapping walk did. */
export interface MappingWalkResult {
  /**
   * `undefined`: all was walked. Else the budget was used up, everything before this virtual frame was walked, and what leaves say
   * about their places is too low.
   */
  readonly stoppedAt: VirtualFrame | undefined;
  /** Leaves visited. */
  readonly leaves: number;
  /** The same, each as often as it has places. */
  readonly mappings: number;
  /** Table pages read. */
  readonly tables: number;
  /** Tables that entries point to, but memory does not hold. */
  readonly absentTables: number;
  /** Places that were passed over, because what stands there was visited elsewhere. */
  readonly sharedPlaces: number;
  /** Tables, seen while looking for shared ones, that stand at more than one level: they lead to themselves, or hostile entries to them. */
  readonly tablesAtSeveralLevels: number;
}

/** A canonical half of the address space, as far as a walk goes through it. */
export interface WalkedHalf {
  /** The virtual frame that slot 0 of the root would stand for in it. */
  readonly base: number;
  readonly start: number;
  readonly end: number;
}

/** The canonical parts of the virtual frames `start` .. `end` - 1. */
export function canonicalHalves(levels: PagingLevels, start: VirtualFrame, end: VirtualFrame): WalkedHalf[] {
  checkLevels(levels);
  return [
    { base: 0, start, end: Math.min(end, lowerHalfEnd(levels)) },
    {
      base: VIRTUAL_FRAME_END - framesOfLevel(levels) * 512,
      start: Math.max(start, upperHalfStart(levels)),
      end,
    },
  ].filter((half) => half.start < half.end);
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
