import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import {
  addressHigh,
  entryFrame,
  entryKind,
  HARDWARE_PRESENCE,
  type Level,
  LINUX_PRESENCE,
  type PagingLevels,
} from '@heki/x86';
import { VmcoreError } from '../error.ts';

/** First slot of the upper, the kernel's half of a root table. */
export const UPPER_HALF = 256;

/** A root table and the levels under it. */
export interface TableRoot {
  readonly frame: Gfn;
  readonly levels: PagingLevels;
}

/** The page-table pages that roots lead to. */
export interface TablePages {
  /** Frames that memory holds, ascending. */
  readonly frames: readonly Gfn[];
  /** Those of them that are root tables of which only the upper half was followed. */
  readonly upperHalfOnly: ReadonlySet<Gfn>;
  /** Tables that entries lead to, but memory does not hold. */
  readonly absent: number;
}

/** What both the processor and Linux follow: the two differ in entries that are not present. */
const PRESENCE = [HARDWARE_PRESENCE, LINUX_PRESENCE];

/**
 * Finds every page that a walk from one of `roots` reads as a table, be it the processor's or Linux's. A table that
 * is reached again at the same level is not followed again, so tables that point to each other come to an end.
 *
 * @param encryptionBit the C-bit, which is not part of the address of a table
 * @param user whether the lower half of the root tables is followed, too
 * @throws {VmcoreError} when there are more than `limit` pages
 */
export function findTablePages(
  memory: PhysicalMemory<Gfn>,
  roots: readonly TableRoot[],
  {
    user,
    limit,
    encryptionBit,
  }: { readonly user: boolean; readonly limit: number; readonly encryptionBit: number | undefined },
): TablePages {
  const addressBits = addressHigh(encryptionBit);
  const reached = new Set<number>();
  const whole = new Set<Gfn>();
  const upper = new Set<Gfn>();
  const absent = new Set<Gfn>();
  const queue: { frame: Gfn; level: Level }[] = [];

  function reach(frame: Gfn, level: Level): void {
    const key = frame * 8 + level;
    if (reached.has(key)) return;
    reached.add(key);
    queue.push({ frame, level });
  }

  function follow(frame: Gfn, level: Level, firstSlot: number): void {
    const page = memory.page(frame);
    if (page === undefined) {
      absent.add(frame);
      return;
    }
    (firstSlot === 0 ? whole : upper).add(frame);
    if (whole.size + upper.size > limit) {
      throw new VmcoreError(`more than ${limit} page-table pages: the tables seem to be damaged`);
    }
    if (level === 1) return;
    for (let slot = firstSlot; slot < 512; slot++) {
      const low = page[2 * slot] ?? 0;
      const isTable = PRESENCE.some((presence) => entryKind(presence, level, low) === 'table');
      if (isTable) reach(entryFrame(low, page[2 * slot + 1] ?? 0, addressBits), (level - 1) as Level);
    }
  }

  for (const { frame, levels } of roots) follow(frame, levels, user ? 0 : UPPER_HALF);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) follow(next.frame, next.level, 0);
  return {
    frames: [...new Set([...whole, ...upper])].sort((a, b) => a - b),
    upperHalfOnly: new Set([...upper].filter((frame) => !whole.has(frame))),
    absent: absent.size,
  };
}
