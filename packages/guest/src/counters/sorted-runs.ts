import type { AscendingRanges } from '@heki/memory-table';
import type { Gfn } from '@heki/physical-memory';
import { ascendingOrder } from './radix-sort.ts';

/** Room for runs at first, and at most: 13 bytes each, and 29 more while they are handed on. */
const FIRST_CAPACITY = 2 ** 10;
const LAST_CAPACITY = 2 ** 20;
const LONGEST_RUN = 2 ** 32 - 1;

/** Takes runs of frames. */
export interface RunSink {
  /** The frames `start` .. `end` - 1, which so many mappings map with `permissions`. */
  add(start: Gfn, end: Gfn, permissions: number, mappings: number): void;
  /** The same for many runs that ascend and do not overlap. */
  addAscending(runs: AscendingRanges, permissions: Uint8Array): void;
}

/** Runs as parallel arrays. */
class Runs {
  starts: Float64Array;
  lengths: Uint32Array;
  permissions: Uint8Array;
  count = 0;

  constructor(capacity: number) {
    this.starts = new Float64Array(capacity);
    this.lengths = new Uint32Array(capacity);
    this.permissions = new Uint8Array(capacity);
  }

  push(start: number, length: number, permissions: number): void {
    const at = this.count++;
    this.starts[at] = start;
    this.lengths[at] = length;
    this.permissions[at] = permissions;
  }

  grownTo(capacity: number): Runs {
    const grown = new Runs(capacity);
    grown.starts.set(this.starts);
    grown.lengths.set(this.lengths);
    grown.permissions.set(this.permissions);
    grown.count = this.count;
    return grown;
  }
}

/**
 * Runs of frames that are gathered first and handed on in ascending order, for changes whose order does not matter: what
 * is kept sorted takes a sorted batch in one pass, many times as fast as what comes at random.
 */
export class SortedRuns {
  readonly #sink: RunSink;
  #gathered = new Runs(FIRST_CAPACITY);

  constructor(sink: RunSink) {
    this.#sink = sink;
  }

  add(start: Gfn, end: Gfn, permissions: number): void {
    const length = end - start;
    if (length > LONGEST_RUN) {
      this.#sink.add(start, end, permissions, 1);
      return;
    }
    const { count, starts } = this.#gathered;
    if (count === LAST_CAPACITY) this.flush();
    else if (count === starts.length) this.#gathered = this.#gathered.grownTo(2 * count);
    this.#gathered.push(start, length, permissions);
  }

  /** Hands on all that is gathered. */
  flush(): void {
    const { starts, lengths, permissions, count } = this.#gathered;
    const order = ascendingOrder(starts, count);
    const apart = new Runs(count);
    const overlapping: number[] = [];
    let end = 0;
    for (let index = 0; index < count; index++) {
      const at = order[index] ?? 0;
      const start = starts[at] ?? 0;
      const length = lengths[at] ?? 0;
      if (start < end) {
        overlapping.push(at);
        continue;
      }
      end = start + length;
      apart.push(start, length, permissions[at] ?? 0);
    }
    if (apart.count > 0) this.#sink.addAscending(apart, apart.permissions);
    // Runs that overlap the one before them are handed on one by one.
    for (const at of overlapping) {
      const start = starts[at] ?? 0;
      this.#sink.add(start as Gfn, (start + (lengths[at] ?? 0)) as Gfn, permissions[at] ?? 0, 1);
    }
    this.#gathered.count = 0;
  }
}
