import type { FrameNumber } from './address.ts';
import { checkFrameRanges, createFrameIndex, type FrameRange } from './frame-range.ts';

/** What a stretch of physical memory is, after the types of the e820 map (ACPI 6.5, table 15.3). */
export type MemoryType = 'ram' | 'reserved' | 'acpi' | 'nvs' | 'unusable' | 'persistent';

/** A stretch of physical memory of one type. */
export interface MemoryMapEntry<Frame extends FrameNumber> extends FrameRange<Frame> {
  readonly type: MemoryType;
}

/** What lies where in a machine's physical memory. */
export interface MemoryMap<Frame extends FrameNumber> extends Iterable<MemoryMapEntry<Frame>> {
  /** Sorted by start; neighbours of one type are not joined. */
  readonly entries: readonly MemoryMapEntry<Frame>[];
  /** One past the last frame of RAM, 0 without any: Linux's `max_pfn`. */
  readonly ramEnd: Frame;
  /** How many frames are RAM. */
  readonly ramFrames: number;
  /** Whether `frame` is RAM. */
  isRam(frame: Frame): boolean;
  /** The entry that `frame` lies in, or `undefined` where the map says nothing. */
  entryAt(frame: Frame): MemoryMapEntry<Frame> | undefined;
}

/**
 * A memory map of `entries`, in any order.
 *
 * @throws {PhysicalMemoryError} when an entry is empty, not in 0 .. 2^40, or overlaps another
 */
export function createMemoryMap<Frame extends FrameNumber>(
  entries: readonly MemoryMapEntry<Frame>[],
): MemoryMap<Frame> {
  const sorted = checkFrameRanges(entries);
  const ram = sorted.filter(({ type }) => type === 'ram');
  const ramIndexAt = createFrameIndex(ram);
  const indexAt = createFrameIndex(sorted);
  return {
    entries: sorted,
    ramEnd: ram.at(-1)?.end ?? (0 as Frame),
    ramFrames: ram.reduce((sum, { start, end }) => sum + (end - start), 0),
    isRam: (frame) => ramIndexAt(frame) >= 0,
    entryAt: (frame) => sorted[indexAt(frame)],
    [Symbol.iterator]: () => sorted[Symbol.iterator](),
  };
}
