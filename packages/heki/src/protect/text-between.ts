import type { FrameRange, Gfn } from '@heki/physical-memory';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import type { KernelTables } from '@heki/vmcore';
import { EntryLow, PageRights, upperHalfStart, walkMappings } from '@heki/x86';

const UNCACHED = EntryLow.PCD | EntryLow.PWT;

/**
 * The frames between `covered`, ascending ranges of RAM, that some mapping of the kernel lets execute: text whose pages were taken out of
 * the direct map. Nobody executes the registers of a device; data is not so easily told from tables of the firmware.
 */
export function textBetween(tables: KernelTables, covered: readonly FrameRange<Gfn>[]): FrameRange<Gfn>[] {
  const gaps = covered.flatMap(({ end }, index) => {
    const next = covered[index + 1]?.start ?? end;
    return next > end ? [{ start: end, end: next }] : [];
  });
  const found = new Set<number>();
  const last = VIRTUAL_FRAME_END as VirtualFrame;
  if (gaps.length === 0) return [];
  walkMappings(tables, upperHalfStart(tables.levels), last, ({ guestFrame, frames, low, effective }) => {
    if ((effective & PageRights.EXECUTE_DISABLE) !== 0 || (low & UNCACHED) !== 0) return;
    for (const gap of gaps) {
      const end = Math.min(gap.end, guestFrame + frames);
      for (let frame = Math.max(gap.start, guestFrame); frame < end; frame++) found.add(frame);
    }
  });
  return [...found].sort((a, b) => a - b).map((frame) => ({ start: frame as Gfn, end: (frame + 1) as Gfn }));
}
