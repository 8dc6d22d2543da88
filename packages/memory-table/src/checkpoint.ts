import { FRAME_END, type FrameNumber, type StateDigest } from '@heki/physical-memory';
import { coveredFrames } from './geometry.ts';
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
  const tell = (value: number | true | undefined, start: Frame): void => {
    digest.add(start);
    // No number of 32 bits: a value that is not there is none of those that are.
    digest.add(value === undefined ? -1 : Number(value));
  };
  table.forEach(0 as Frame, Math.min(FRAME_END, coveredFrames(table.geometry)) as Frame, tell);
  digest.word(-1);
}
