import { type Gfn, PAGE_WORDS, type PhysicalMemory } from '@heki/physical-memory';
import type { PagingLevels } from '../canonical.ts';
import { EntryLow, isLeaf, type Level } from '../entries/entry.ts';

/** Page tables to look through. */
export interface TablesToSurvey {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** Table pages to look at, each counted once for each level. Default 2^18: 512 GiB in 4-KiB pages. */
  readonly budget?: number;
}

/**
 * Gives every present entry that the root leads to, each table once for each level. `visit` says where the table is that an
 * entry names, or `undefined` when memory does not hold it; what it says of a leaf plays no part.
 */
export function visitEntries(
  { memory, root, levels, budget = 2 ** 18 }: TablesToSurvey,
  visit: (low: number, high: number, level: Level, leaf: boolean) => Gfn | undefined,
): void {
  const queue: { readonly table: Gfn; readonly level: Level }[] = [{ table: root, level: levels }];
  const seen = new Set<number>();
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { table, level } = next;
    const page = memory.page(table);
    for (let word = 0; page !== undefined && word < PAGE_WORDS; word += 2) {
      const low = page[word] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      const leaf = isLeaf(low, level);
      const child = visit(low, page[word + 1] ?? 0, level, leaf);
      if (leaf || child === undefined || seen.size >= budget) continue;
      const key = child * 8 + level - 1;
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push({ table: child, level: (level - 1) as Level });
    }
  }
}

/** Number of the highest bit that is set in a frame number; 0 for 0. */
export function highestBit(frame: Gfn): number {
  const high = Math.floor(frame / 2 ** 32);
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32((frame % 2 ** 32) + (frame === 0 ? 1 : 0));
}
