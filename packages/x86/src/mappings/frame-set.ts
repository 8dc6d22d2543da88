/** Room at first; a power of 2. */
const FIRST_CAPACITY = 64;

/** Frame numbers that were met: for one look-up a table page, which a `Set` is too slow for. */
export class FrameSet {
  /** Open addressing, at most half full: frame numbers plus 1, 0 is free. */
  #slots = new Float64Array(FIRST_CAPACITY);
  #shift = 32 - Math.log2(FIRST_CAPACITY);
  #size = 0;

  /** Adds `frame`, 0 .. 2^40 - 1. Whether it was not there yet. */
  add(frame: number): boolean {
    if (2 * this.#size >= this.#slots.length) this.#grow();
    const slots = this.#slots;
    const last = slots.length - 1;
    // Fibonacci hashing: neighbouring frames, which most are, are spread evenly.
    let at = Math.imul(frame, 0x9e37_79b1) >>> this.#shift;
    for (let met = slots[at]; met !== 0; met = slots[at]) {
      if (met === frame + 1) return false;
      at = (at + 1) & last;
    }
    slots[at] = frame + 1;
    this.#size++;
    return true;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Float64Array(2 * before.length);
    this.#shift--;
    this.#size = 0;
    for (const met of before) if (met !== 0) this.add(met - 1);
  }
}
