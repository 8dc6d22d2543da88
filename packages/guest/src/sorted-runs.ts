import type { Gfn } from '@heki/physical-memory';

/** Bits of a frame number that one pass of the sort looks at. */
const DIGIT_BITS = 11;
const DIGITS = 2 ** DIGIT_BITS;
/** Frames of the longest run that is gathered: what fits beside three bits of permissions in 32 bits. */
const LONGEST_RUN = 2 ** 29 - 1;

/**
 * Runs of frames that are gathered first and handed on in ascending order: the counters are kept sorted, and take what
 * comes in order several times as fast as what comes at random. Only for changes whose order does not matter.
 */
export class SortedRuns {
  readonly #capacity: number;
  readonly #take: (start: Gfn, end: Gfn, permissions: number) => void;
  #starts: Float64Array;
  /** Frames times 8, and permissions. */
  #runs: Uint32Array;
  #otherStarts: Float64Array;
  #otherRuns: Uint32Array;
  #length = 0;

  /** @param capacity how many runs are gathered before they are handed on to `take` */
  constructor(capacity: number, take: (start: Gfn, end: Gfn, permissions: number) => void) {
    this.#capacity = capacity;
    this.#take = take;
    this.#starts = new Float64Array(capacity);
    this.#runs = new Uint32Array(capacity);
    this.#otherStarts = new Float64Array(capacity);
    this.#otherRuns = new Uint32Array(capacity);
  }

  add(start: Gfn, end: Gfn, permissions: number): void {
    const frames = end - start;
    if (frames > LONGEST_RUN) {
      this.#take(start, end, permissions);
      return;
    }
    const at = this.#length++;
    this.#starts[at] = start;
    this.#runs[at] = frames * 8 + permissions;
    if (this.#length === this.#capacity) this.flush();
  }

  /** Hands on all that is gathered, by ascending start. */
  flush(): void {
    this.#sort();
    for (let at = 0; at < this.#length; at++) {
      const start = this.#starts[at] ?? 0;
      const run = this.#runs[at] ?? 0;
      this.#take(start as Gfn, (start + (run >>> 3)) as Gfn, run & 7);
    }
    this.#length = 0;
  }

  /** A radix sort from the lowest digit up. */
  #sort(): void {
    const length = this.#length;
    let lowest = Number.POSITIVE_INFINITY;
    let highest = 0;
    for (let at = 0; at < length; at++) {
      const start = this.#starts[at] ?? 0;
      if (start < lowest) lowest = start;
      if (start > highest) highest = start;
    }
    const places = new Uint32Array(DIGITS);
    for (let unit = 1; unit <= highest - lowest; unit *= DIGITS) {
      this.#sortByDigit(lowest, 1 / unit, places);
    }
  }

  #sortByDigit(lowest: number, scale: number, places: Uint32Array): void {
    const [starts, runs] = [this.#starts, this.#runs];
    const [toStarts, toRuns] = [this.#otherStarts, this.#otherRuns];
    const length = this.#length;
    places.fill(0);
    // `&` takes the low bits of the integer part, however large it is.
    for (let at = 0; at < length; at++) {
      const digit = (((starts[at] ?? 0) - lowest) * scale) & (DIGITS - 1);
      places[digit] = (places[digit] ?? 0) + 1;
    }
    let before = 0;
    for (let digit = 0; digit < DIGITS; digit++) {
      const count = places[digit] ?? 0;
      places[digit] = before;
      before += count;
    }
    for (let at = 0; at < length; at++) {
      const start = starts[at] ?? 0;
      const digit = ((start - lowest) * scale) & (DIGITS - 1);
      const place = places[digit] ?? 0;
      places[digit] = place + 1;
      toStarts[place] = start;
      toRuns[place] = runs[at] ?? 0;
    }
    this.#starts = toStarts;
    this.#runs = toRuns;
    this.#otherStarts = starts;
    this.#otherRuns = runs;
  }
}
