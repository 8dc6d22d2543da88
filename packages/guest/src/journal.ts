/** What an undo of counter changes needs: which frames had which state, in the order in which they lost it. */
export class Journal {
  #starts = new Float64Array(64);
  #ends = new Float64Array(64);
  #states = new Int32Array(64);
  #length = 0;

  /** Notes that the frames `start` .. `end` - 1 had `state`, 0 for none. */
  record(start: number, end: number, state: number): void {
    const at = this.#length++;
    if (at === this.#states.length) this.#grow();
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

  #grow(): void {
    const capacity = this.#states.length * 2;
    const starts = new Float64Array(capacity);
    starts.set(this.#starts);
    this.#starts = starts;
    const ends = new Float64Array(capacity);
    ends.set(this.#ends);
    this.#ends = ends;
    const states = new Int32Array(capacity);
    states.set(this.#states);
    this.#states = states;
  }
}
