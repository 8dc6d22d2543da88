import { FRAME_END, type FrameNumber } from './address.ts';
import { hex, PhysicalMemoryError } from './error.ts';

/** The frames `start` .. `end` - 1. */
export interface FrameRange<Frame extends FrameNumber> {
  readonly start: Frame;
  /** Exclusive. */
  readonly end: Frame;
}

/**
 * `ranges` sorted by start.
 *
 * @throws {PhysicalMemoryError} when a range is empty, not in 0 .. 2^40, or overlaps another
 */
export function checkFrameRanges<Frame extends FrameNumber>(
  ranges: readonly FrameRange<Frame>[],
): FrameRange<Frame>[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  let previous: FrameRange<Frame> | undefined;
  for (const range of sorted) {
    const { start, end } = range;
    if (
      !Number.isSafeInteger(start) ||
      !Number.isSafeInteger(end) ||
      start < 0 ||
      end > FRAME_END ||
      start >= end
    ) {
      throw new PhysicalMemoryError(
        `frames ${hex(start)}-${hex(end)} are no range: expected start < end, both from 0 to ${hex(FRAME_END)}`,
      );
    }
    if (previous !== undefined && start < previous.end) {
      throw new PhysicalMemoryError(
        `frames ${hex(start)}-${hex(end)} overlap frames ${hex(previous.start)}-${hex(previous.end)}`,
      );
    }
    previous = range;
  }
  return sorted;
}

/** A test whether a frame lies in one of `ranges`, which {@link checkFrameRanges} has sorted. */
export function createFrameLookup<Frame extends FrameNumber>(
  ranges: readonly FrameRange<Frame>[],
): (frame: Frame) => boolean {
  return (frame) => {
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = ranges[middle];
      if (range === undefined || frame < range.start) high = middle;
      else if (frame >= range.end) low = middle + 1;
      else return true;
    }
    return false;
  };
}
