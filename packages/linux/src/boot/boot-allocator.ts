import { Errno } from '@heki/hypercall/errno';
import type { FrameRange, Gfn, MemoryMap } from '@heki/physical-memory';
import { fail } from '../outcome.ts';

/** What memory is taken from before there is a page allocator (mm/memblock.c). */
export interface BootAllocator {
  /** The highest free frames, aligned. @throws {KernelStop} -ENOMEM when too few are free */
  allocate(frames?: number, alignment?: number): Gfn;
  /** The highest free frames that end at or below `limit`, which stay reserved. @throws {KernelStop} as {@link allocate} */
  allocateBelow(limit: Gfn, frames: number): Gfn;
  /** What is free in the end, ascending. */
  freeRanges(): readonly FrameRange<Gfn>[];
}

/** An allocator over the RAM of `memoryMap` but for `reserved`, from the top down as Linux's goes. */
export function createBootAllocator(
  memoryMap: MemoryMap<Gfn>,
  reserved: readonly FrameRange<Gfn>[],
): BootAllocator {
  // Frame 0 is never given out: an address of 0 would be taken for none.
  let free = memoryMap.entries
    .filter(({ type }) => type === 'ram')
    .map(({ start, end }): FrameRange<Gfn> => ({ start: Math.max(start, 1) as Gfn, end }));

  const reserve = (start: number, end: number): void => {
    free = free.flatMap((range) => {
      const below = { start: range.start, end: Math.min(range.end, start) as Gfn };
      const above = { start: Math.max(range.start, end) as Gfn, end: range.end };
      return [below, above].filter((part) => part.start < part.end);
    });
  };
  for (const { start, end } of reserved) reserve(start, end);

  const allocateBelow = (limit: number, frames: number, alignment: number): Gfn => {
    for (const { start, end } of free.toReversed()) {
      const top = Math.min(end, limit) - frames;
      const first = top - (top % alignment);
      if (first < start) continue;
      reserve(first, first + frames);
      return first as Gfn;
    }
    return fail(Errno.ENOMEM, `early boot found no ${frames} frames in a row`);
  };
  return {
    allocate: (frames = 1, alignment = 1) => allocateBelow(Number.POSITIVE_INFINITY, frames, alignment),
    allocateBelow: (limit, frames) => allocateBelow(limit, frames, 1),
    freeRanges: () => free,
  };
}
