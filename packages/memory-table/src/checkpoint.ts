import type { FrameNumber, StateDigest } from '@heki/physical-memory';
import type { MemoryTable } from './memory-table.ts';

/** What brings `table` back to the values of now, as often as it is called. */
export function checkpointTable<Value, Frame extends FrameNumber>(
  table: MemoryTable<Value, Frame>,
): () => void {
  const extents = [...table.extents()];
  /** How many changes there had been when the values were those. */
  let { changes } = table;
  return () => {
    if (table.changes === changes) return;
    table.free();
    for (const { start, end, value } of extents) table.set(start, end, value);
    ({ changes } = table);
  };
}

/** Tells `digest` the values of now: numbers of 32 bits, or marks. */
export function digestTable<Frame extends FrameNumber>(
  table: MemoryTable<number, Frame> | MemoryTable<true, Frame>,
  digest: StateDigest,
): void {
  for (const { start, end, value } of table.extents()) {
    digest.add(start);
    digest.add(end);
    digest.word(Number(value));
  }
  digest.word(-1);
}
