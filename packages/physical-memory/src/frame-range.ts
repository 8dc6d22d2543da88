import { FRAME_END, type FrameNumber } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { hex } from './hex.ts';

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
export function checkFrameRanges<Range extends FrameRange<FrameNumber>>(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  let previous: Range | undefined;
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
        `frames ${hex(start)}-${hex(end)} are not a range: expected start < end, both from 0 to ${hex(FRAME_END)}`,
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

/** Which of `ranges`, sorted by {@link checkFrameRanges}, a frame lies in: its index, or -1. */
export function createFrameIndex(ranges: readonly FrameRange<FrameNumber>[]): (frame: FrameNumber) => number {
  // Plain arrays of numbers keep the search free of property loads of differing shapes.
  const starts = ranges.map(({ start }) => Number(start));
  const ends = ranges.map(({ end }) => Number(end));
  // Walks mostly stay where their previous step was.
  let last = 0;
  return (frame) => {
    if (frame >= (starts[last] ?? 0) && frame < (ends[last] ?? 0)) return last;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (frame < (starts[middle] ?? 0)) high = middle;
      else if (frame >= (ends[middle] ?? 0)) low = middle + 1;
      else {
        last = middle;
        return middle;
      }
    }
    return -1;
  };
}

/** The index of the first of `ranges`, which ascend and are apart, that ends behind `at`; their number when none does. */
export function firstBehind(ranges: readonly { readonly end: number }[], at: number): number;
export function firstBehind<Range>(
  ranges: readonly Range[],
  at: number,
  endOf: (range: Range) => number,
): number;
export function firstBehind<Range extends { readonly end: number }>(
  ranges: readonly Range[],
  at: number,
  endOf: (range: Range) => number = ({ end }) => end,
): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range !== undefined && endOf(range) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What `ranges`, in any order, cover together: ranges that ascend, and neither overlap nor touch. */
export function joinedRanges<Value extends number>(
  ranges: readonly { readonly start: Value; readonly end: Value }[],
): { start: Value; end: Value }[] {
  const joined: { start: Value; end: Value }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || start > last.end) joined.push({ start, end });
    else if (end > last.end) last.end = end;
  }
  return joined;
}
