import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { EntryLow, framesOfLevel } from '@heki/x86';
import { type AttributeChange, applied } from './attribute-change.ts';
import type { LeafTransition } from './leaf-changes.ts';
import { plainLeaf, storedFrame } from './leaf-entry.ts';
import type { PageTables } from './page-tables.ts';

/**
 * The leaves of a range that a change of attributes did not reach before it failed: as transitions from what they would have
 * become to what they are.
 */
export function unchangedLeaves(
  tables: PageTables,
  start: VirtualFrame,
  end: VirtualFrame,
  change: AttributeChange,
): LeafTransition[] {
  return tables.edit(() => {
    const leaves: LeafTransition[] = [];
    for (let at = start; at < end; ) {
      const entry = tables.lookup(at);
      const size = entry === undefined ? 1 : framesOfLevel(entry.level);
      const frames = Math.min(end - at, size - (at % size));
      if (entry !== undefined && (entry.low & EntryLow.P) !== 0) {
        const frame = (storedFrame(entry.low, entry.high, entry.level) + (at % size)) as Gfn;
        const next = plainLeaf(entry.low, entry.high, entry.level);
        leaves.push({ at, frame, frames, old: applied(next, change), next });
      }
      at = (at + frames) as VirtualFrame;
    }
    return leaves;
  });
}
