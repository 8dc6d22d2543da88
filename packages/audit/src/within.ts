import { type FrameRange, firstBehind, type Gfn } from '@heki/physical-memory';
import type { VirtualRange } from '@heki/vmcore';
import type { AuditedKernel } from './audited-kernel.ts';
import type { FrameExtent } from './frame-extents.ts';
import type { Mapping } from './mapping.ts';

/** The parts of `extents`, which ascend, that lie in `range`. */
export function extentsWithin(extents: readonly FrameExtent[], range: FrameRange<Gfn>): FrameExtent[] {
  const found: FrameExtent[] = [];
  for (let index = firstBehind(extents, range.start); index < extents.length; index++) {
    const extent = extents[index];
    if (extent === undefined || extent.start >= range.end) break;
    const start = Math.max(extent.start, range.start) as Gfn;
    const end = Math.min(extent.end, range.end) as Gfn;
    found.push({ ...extent, start, end });
  }
  return found;
}

/** Real mode reaches 1 MiB. */
export const REAL_MODE_FRAMES = 0x100;

/** Whether one of `ranges` has all of `extent`. */
export function isWithin(ranges: readonly FrameRange<Gfn>[], extent: FrameExtent): boolean {
  return ranges.some(({ start, end }) => start <= extent.start && extent.end <= end);
}

/** Frames that two lists of ranges, each apart, have in common. */
export function overlap(some: readonly FrameRange<Gfn>[], others: readonly FrameRange<Gfn>[]): number {
  const sorted = [...others].sort((a, b) => a.start - b.start);
  let frames = 0;
  for (const { start, end } of some) {
    for (let index = firstBehind(sorted, start); index < sorted.length; index++) {
      const other = sorted[index];
      if (other === undefined || other.start >= end) break;
      frames += Math.min(end, other.end) - Math.max(start, other.start);
    }
  }
  return frames;
}

/** Each of `frames` that is mapped at all, as an extent of its own. */
export function extentsOfFrames(extents: readonly FrameExtent[], frames: Iterable<Gfn>): FrameExtent[] {
  return [...frames].flatMap((frame) => extentsWithin(extents, { start: frame, end: (frame + 1) as Gfn }));
}

/** The frames that a part of the image has by its layout, wherever its addresses lead. */
export function framesOfSection(
  { sections: { distance } }: AuditedKernel,
  { start, end }: VirtualRange,
): FrameRange<Gfn> {
  return { start: (start - distance) as Gfn, end: (end - distance) as Gfn };
}

/** What the parts of an image are aligned to. */
const HUGE_FRAMES = 512;

/**
 * Frames that are constants of the image, or lie behind them: where permissions alone told the sections. What is left of the last 2 MiB is freed
 * after boot, and a module that it was given to makes it read-only in the image, too (cpa_process_alias).
 */
export function maybeFreedConstants(kernel: AuditedKernel): FrameRange<Gfn>[] {
  const { rodata, from, distance } = kernel.sections;
  if (rodata === undefined || from !== 'page-tables') return [];
  const start = Math.max(rodata.start, Math.floor((rodata.end - 1) / HUGE_FRAMES) * HUGE_FRAMES);
  return [{ start: (start - distance) as Gfn, end: (rodata.end - distance) as Gfn }];
}

/** Whether `frame` belongs to the image by its layout. */
export function isOfImage({ sections: { image, distance } }: AuditedKernel, frame: Gfn): boolean {
  const at = frame + distance;
  return at >= image.start && at < image.end;
}

/** The vsyscall page is a page of the image (`__vsyscall_page`); another frame at its address is not. */
export function isVsyscallPage(kernel: AuditedKernel, mapping: Mapping): boolean {
  return mapping.region === 'vsyscall' && isOfImage(kernel, mapping.guestFrame);
}
