import type { FrameNumber } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { checkFrameRanges, createFrameIndex, type FrameRange } from './frame-range.ts';
import { hex } from './hex.ts';

/** Hands out frames of fixed ranges and takes them back. It does not touch the pages themselves. */
export interface FrameAllocator<Frame extends FrameNumber> {
  /** Frames that are free. */
  readonly freeFrames: number;
  /** The lowest free frame, or `undefined` when none is left. Its page holds what its last owner left there. */
  allocate(): Frame | undefined;
  /**
   * The first of `frames` free frames in a row, the lowest that is a multiple of `alignment` (for a 2-MiB page
   * 512 and 512). `undefined` when too few are free.
   */
  allocateContiguous(frames: number, alignment: number): Frame | undefined;
  /**
   * Takes back `frames` (default 1) frames from `frame` on, however they were allocated.
   *
   * @throws {PhysicalMemoryError} when one of them is free already, or was never this allocator's
   */
  free(frame: Frame, frames?: number): void;
  /** Whether `frame` is free. */
  isFree(frame: Frame): boolean;
}

/**
 * An allocator of the frames of `ranges`, lowest first, so that the same calls give the same frames. It takes
 * memory in proportion to the stretches that are free, not to frames.
 *
 * @throws {PhysicalMemoryError} when a range is empty, not in 0 .. 2^40, or overlaps another
 */
export function createFrameAllocator<Frame extends FrameNumber>(options: {
  readonly ranges: readonly FrameRange<Frame>[];
}): FrameAllocator<Frame> {
  const owned: { start: number; end: number }[] = [];
  for (const { start, end } of checkFrameRanges(options.ranges)) {
    const previous = owned.at(-1);
    if (previous !== undefined && previous.end === start) previous.end = end;
    else owned.push({ start, end });
  }
  const ownedIndex = createFrameIndex(owned as FrameRange<Frame>[]);
  // The free stretches, from the highest to the lowest, so that the lowest is taken off without moving the others.
  const starts = owned.map(({ start }) => start).reverse();
  const ends = owned.map(({ end }) => end).reverse();
  let freeFrames = owned.reduce((sum, { start, end }) => sum + (end - start), 0);

  /** How many free stretches start above `frame`: the index of the one that it lies in or that follows below. */
  function stretchesAbove(frame: number): number {
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] ?? 0) > frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function take(index: number, from: number, to: number): void {
    const start = starts[index] ?? 0;
    const end = ends[index] ?? 0;
    freeFrames -= to - from;
    if (from === start && to === end) {
      starts.splice(index, 1);
      ends.splice(index, 1);
    } else if (from === start) {
      starts[index] = to;
    } else {
      ends[index] = from;
      if (to !== end) {
        starts.splice(index, 0, to);
        ends.splice(index, 0, end);
      }
    }
  }

  return {
    get freeFrames() {
      return freeFrames;
    },
    isFree(frame) {
      const index = stretchesAbove(frame);
      return frame < (ends[index] ?? 0);
    },
    allocate() {
      const index = starts.length - 1;
      const frame = starts[index];
      if (frame === undefined) return undefined;
      freeFrames--;
      if (frame + 1 === ends[index]) {
        starts.pop();
        ends.pop();
      } else {
        starts[index] = frame + 1;
      }
      return frame as Frame;
    },
    allocateContiguous(frames, alignment) {
      if (!Number.isSafeInteger(frames) || !Number.isSafeInteger(alignment) || frames < 1 || alignment < 1) {
        throw new PhysicalMemoryError(
          `cannot allocate ${frames} frames aligned to ${alignment}: expected whole numbers above 0`,
        );
      }
      for (let index = starts.length - 1; index >= 0; index--) {
        const first = Math.ceil((starts[index] ?? 0) / alignment) * alignment;
        if (first + frames > (ends[index] ?? 0)) continue;
        take(index, first, first + frames);
        return first as Frame;
      }
      return undefined;
    },
    free(frame, frames = 1) {
      const end = frame + frames;
      const owner = owned[ownedIndex(frame)];
      if (!Number.isSafeInteger(frames) || frames < 1 || owner === undefined || end > owner.end) {
        throw new PhysicalMemoryError(
          `frames ${hex(frame)}-${hex(end)} do not belong to this allocator: expected frames of ${owned
            .map((range) => `${hex(range.start)}-${hex(range.end)}`)
            .join(', ')}`,
        );
      }
      const index = stretchesAbove(frame);
      const above = starts[index - 1] ?? Number.POSITIVE_INFINITY;
      const below = ends[index] ?? Number.NEGATIVE_INFINITY;
      if (frame < below || end > above) {
        const already = frame < below ? Number(frame) : above;
        throw new PhysicalMemoryError(`frame ${hex(already)} is free already: it was freed twice`);
      }
      freeFrames += frames;
      const joinsBelow = below === frame;
      const joinsAbove = above === end;
      if (joinsBelow && joinsAbove) {
        ends[index] = ends[index - 1] ?? 0;
        starts.splice(index - 1, 1);
        ends.splice(index - 1, 1);
      } else if (joinsBelow) {
        ends[index] = end;
      } else if (joinsAbove) {
        starts[index - 1] = frame;
      } else {
        starts.splice(index, 0, frame);
        ends.splice(index, 0, end);
      }
    },
  };
}
