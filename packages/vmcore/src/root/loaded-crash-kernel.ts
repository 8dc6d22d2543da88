import {
  type FrameRange,
  firstBehind,
  type Gfn,
  joinedRanges,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import { PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { type Range, without } from '../range.ts';
import type { ProvenRoot } from './proven-root.ts';

/** A crash kernel takes some dozen mebibytes; what else is read-only in the direct map alone is a page here and there. */
const FEWEST_FRAMES = 2 ** 20 / 4096;
/** The pages of control code, which stay writable, and guards beside them. */
const WIDEST_GAP = 16;

/**
 * Where a crash kernel is loaded, by the kernel's tables: kexec makes the region read-only in the direct map
 * (arch_kexec_protect_crashkres), and nothing else maps it. Constants of the kernel and of modules have mappings of their own.
 */
export function loadedCrashKernel(kernel: ProvenRoot): FrameRange<Gfn>[] {
  const { directMap, levels } = kernel;
  const readOnly: Range[] = [];
  walkMappings(kernel, directMap.start, directMap.end, ({ virtualFrame, guestFrame, frames, effective }) => {
    if ((effective & (PageRights.WRITE | PageRights.EXECUTE_DISABLE)) !== PageRights.EXECUTE_DISABLE) return;
    if (virtualFrame - guestFrame === directMap.start) {
      readOnly.push({ start: guestFrame, end: guestFrame + frames });
    }
  });
  const candidates = joinedRanges(readOnly);
  const elsewhere: Range[] = [];
  const addOverlaps = ({ guestFrame, frames }: { guestFrame: Gfn; frames: number }): void => {
    for (let index = firstBehind(candidates, guestFrame); index < candidates.length; index++) {
      const { start, end } = candidates[index] ?? { start: 0, end: 0 };
      if (start >= guestFrame + frames) return;
      elsewhere.push({ start: Math.max(start, guestFrame), end: Math.min(end, guestFrame + frames) });
    }
  };
  const last = VIRTUAL_FRAME_END as VirtualFrame;
  walkMappings(kernel, upperHalfStart(levels), directMap.start, addOverlaps);
  walkMappings(kernel, directMap.end, last, addOverlaps);
  const alone = without(candidates, joinedRanges(elsewhere.sort((a, b) => a.start - b.start)));
  return joined(alone)
    .filter(({ start, end }) => end - start >= FEWEST_FRAMES)
    .map(({ start, end }) => ({ start: start as Gfn, end: end as Gfn }));
}

/** Ranges that are in order, with those that a small gap parts as one. */
function joined(ranges: readonly Range[]): Range[] {
  return joinedRanges(ranges.map(({ start, end }) => ({ start, end: end + WIDEST_GAP }))).map(
    ({ start, end }) => ({
      start,
      end: end - WIDEST_GAP,
    }),
  );
}
