/** Room for records at first. */
const FIRST_CAPACITY = 64;
/** Room that is kept for the next call. */
const KEPT_CAPACITY = 4096;

/** What an undo of counter changes needs: which frames had which state, in the order in which they lost it. */
export class Journal {
  #starts = new Float64Array(FIRST_CAPACITY);
  #ends = new Float64Array(FIRST_CAPACITY);
  #states = new Int32Array(FIRST_CAPACITY);
  #length = 0;

  /** Forgets everything. Room is kept: most calls change few frames, and a kernel makes tens of thousands of them. */
  clear(): void {
    this.#length = 0;
    if (this.#states.length > KEPT_CAPACITY) this.#resize(FIRST_CAPACITY);
  }

  /** Notes that the frames `start` .. `end` - 1 had `state`, 0 for none. */
  record(start: number, end: number, state: number): void {
    const at = this.#length;
    if (at === this.#states.length) this.#resize(2 * at);
    this.#length++;
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#states[at] = state;
  }

  /** Hands out what was recorded, the newest first. */
  unwind(restore: (start: number, end: number, state: number) => void): void {
    for (let at = this.#length - 1; at >= 0; at--) {
      restore(this.#starts[at] ?? 0, this.#ends[at] ?? 0, this.#states[at] ?? 0);
    }
  }

  #resize(capacity: number): void {
    const kept = Math.min(this.#length, capacity);
    const starts = new Float64Array(capacity);
    starts.set(this.#starts.subarray(0, kept));
    this.#starts = starts;
    const ends = new Float64Array(capacity);
    ends.set(this.#ends.subarray(0, kept));
    this.#ends = ends;
    const states = new Int32Array(capacity);
    states.set(this.#states.subarray(0, kept));
    this.#states = states;
  }
}
