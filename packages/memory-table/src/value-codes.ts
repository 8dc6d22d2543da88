/** Values below this are their own codes, plus 1; the others are numbered from here on. */
const SMALL_END = 2 ** 31;
/** Codes of other values that may pile up before those not in use any more are forgotten. */
const CODES_BEFORE_CLEANING = 256;

/**
 * Values as 32-bit codes, so that they lie packed and compare fast: 0 is not a value, small whole numbers are coded by
 * arithmetic, and anything else by a number that it is given. Equal codes mean equal values, by the rule of Map.
 */
export class ValueCodes<Value> {
  readonly #codes = new Map<Value, number>();
  readonly #values: (Value | undefined)[] = [];
  readonly #free: number[] = [];
  #cleanAt = CODES_BEFORE_CLEANING;

  /** So many codes have been given out that {@link retain} is worth its while. */
  get needsCleaning(): boolean {
    return this.#codes.size > this.#cleanAt;
  }

  encode(value: Value | undefined): number {
    if (typeof value === 'number' && value >>> 0 === value && value < SMALL_END - 1) return value + 1;
    return value === undefined ? 0 : this.#numberOf(value);
  }

  decode(code: number): Value | undefined {
    if (code === 0) return undefined;
    return code < SMALL_END ? ((code - 1) as Value) : this.#values[code - SMALL_END];
  }

  /** Forgets the values of all numbered codes but those in `live`. */
  retain(live: ReadonlySet<number>): void {
    for (const [value, code] of this.#codes) {
      if (live.has(code)) continue;
      this.#codes.delete(value);
      this.#values[code - SMALL_END] = undefined;
      this.#free.push(code);
    }
    this.#cleanAt = Math.max(CODES_BEFORE_CLEANING, 2 * this.#codes.size);
  }

  #numberOf(value: Value): number {
    const known = this.#codes.get(value);
    if (known !== undefined) return known;
    const code = this.#free.pop() ?? SMALL_END + this.#values.length;
    this.#values[code - SMALL_END] = value;
    this.#codes.set(value, code);
    return code;
  }
}
