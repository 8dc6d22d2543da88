import type { FrameNumber, Gfn } from '@heki/physical-memory';
import type { MemoryTableGeometry } from './geometry.ts';

/** Consecutive frames `start` .. `end` - 1 that have the same value. */
export interface Extent<Value, Frame extends FrameNumber = Gfn> {
  readonly start: Frame;
  /** Exclusive. */
  readonly end: Frame;
  readonly value: Value;
}

/** An entry: an aligned block of frames with one value, as large as a level of the geometry allows. */
export interface Entry<Value, Frame extends FrameNumber = Gfn> extends Extent<Value, Frame> {
  /** 1 (4 KiB), 2 (2 MiB), 3 (1 GiB) ...; one less under B-G9. */
  readonly level: number;
}

/** How full a memory table is. */
export interface MemoryTableStatistics {
  /** Runs of frames with equal values. */
  readonly extents: number;
  /** Frames that have a value. */
  readonly frames: number;
  /** Entries of each level of the geometry, from the 4-KiB level up. */
  readonly entries: readonly number[];
}

/** What is done with each run of frames of a range: `value` is `undefined` where the frames have none. */
export type Visit<Value, Frame extends FrameNumber> = (
  value: Value | undefined,
  start: Frame,
  end: Frame,
) => void;

/** A question about a run of frames. */
export type Test<Value, Frame extends FrameNumber> = (
  value: Value | undefined,
  start: Frame,
  end: Frame,
) => boolean;

/** Gives a run of frames its new value; `undefined` takes the value away. */
export type Transform<Value, Frame extends FrameNumber> = (
  value: Value | undefined,
  start: Frame,
  end: Frame,
) => Value | undefined;

/** Ranges of frames in ascending order that do not overlap: the frames `starts[i]` .. `starts[i] + lengths[i]` - 1. */
export interface AscendingRanges {
  readonly starts: Float64Array;
  readonly lengths: Uint32Array;
  /** How many ranges there are; the arrays may be longer. */
  readonly count: number;
}

/** Gives a run of frames, which is part of the range with this index, its new value. */
export type TransformOf<Value, Frame extends FrameNumber> = (
  value: Value | undefined,
  start: Frame,
  end: Frame,
  index: number,
) => Value | undefined;

/**
 * A value for every physical page, sparse. A range costs work for each run of pages with equal values in it, not for
 * each page: frames whose values are equal (`===`) are kept as one extent, which splits when a part changes and
 * merges when its parts agree again. Ranges are `start` .. `end` - 1; an empty one is allowed and does nothing.
 *
 * Functions that are handed in must not throw, and may ask for a value or an entry at most: a table that is walked or changed refuses, from
 * within them, to be walked or changed again. All methods throw {@link MemoryTableError} for frames that
 * are not a range or above what the geometry covers (unless B-G8 makes those alias).
 */
export interface MemoryTable<Value, Frame extends FrameNumber = Gfn> {
  readonly geometry: MemoryTableGeometry;
  /** How many calls could have changed values so far: as long as it stays, so do they. */
  readonly changes: number;
  /** The value of `frame`, `undefined` when it has none. */
  get(frame: Frame): Value | undefined;
  /** Gives every frame of the range `value`. */
  set(start: Frame, end: Frame, value: Value): void;
  /** Takes the values of the range away. */
  clear(start: Frame, end: Frame): void;
  /** Replaces the value of every run of frames in the range, those without a value included, in ascending order. */
  update(start: Frame, end: Frame, transform: Transform<Value, Frame>): void;
  /**
   * {@link update} for many ranges at once: one pass over the table instead of a look-up and an insertion for each.
   *
   * @throws {MemoryTableError} when the ranges do not ascend, or overlap
   */
  updateAscending(ranges: AscendingRanges, transform: TransformOf<Value, Frame>): void;
  /** Visits every run of frames in the range, those without a value included, in ascending order. */
  forEach(start: Frame, end: Frame, visit: Visit<Value, Frame>): void;
  /** Whether `test` holds for some run of frames in the range. */
  some(start: Frame, end: Frame, test: Test<Value, Frame>): boolean;
  /** Whether `test` holds for every run of frames in the range. */
  every(start: Frame, end: Frame, test: Test<Value, Frame>): boolean;
  /**
   * The extents in ascending order, whole; frames without a value are left out.
   *
   * @throws {MemoryTableError} when the table has changed meanwhile: take a copy of the extents to change it by them
   */
  extents(): IterableIterator<Extent<Value, Frame>>;

  /** The entry that holds `frame` (`mem_table_find`): the largest aligned block of its extent. */
  find(frame: Frame): Entry<Value, Frame> | undefined;
  /**
   * The 4-KiB entry of `frame` (`mem_table_create`): the one that is there, one split out of a larger entry, or a new
   * one with the value that `make` gives. Under B-G9 all pages of a larger entry lose their value first.
   */
  create(frame: Frame, make: () => Value): Entry<Value, Frame>;
  /** Takes all values away (`mem_table_free`) after `release` was called for each extent. */
  free(release?: (value: Value, start: Frame, end: Frame) => void): void;
  statistics(): MemoryTableStatistics;
}
