/**
 * A digest of 64 bits over integers, in order: two lanes of 32 bits, FNV-1a and a multiplication by another prime. For who compares many states of
 * a machine with each other and trusts whoever made them: it withstands no one who looks for two states with the same digest.
 */
export interface StateDigest {
  /** The first lane, as an unsigned number. */
  readonly a: number;
  /** The second. */
  readonly b: number;
  /** The 53 bits of the digest that fit a number. */
  readonly number: number;
  /** Begins anew. */
  reset(): void;
  /** Takes in a safe integer. */
  add(value: number): void;
  /** Takes in a u64. */
  addU64(value: bigint): void;
  /** Takes in a text. */
  addText(text: string): void;
  /** Takes in 32 bits. */
  word(bits: number): void;
  /** Takes in the words of a page, whole. */
  words(page: Uint32Array): void;
}

/** A digest of nothing yet. */
export function createStateDigest(): StateDigest {
  return new TwoLanes();
}

/** Two lanes as a number: the upper 11 bits of the first are left out. */
export function digestNumber(a: number, b: number): number {
  return (a % 2 ** 21) * 2 ** 32 + b;
}

class TwoLanes implements StateDigest {
  #a = 0x811c_9dc5;
  #b = 0x2545_f491;

  reset(): void {
    this.#a = 0x811c_9dc5;
    this.#b = 0x2545_f491;
  }

  add(value: number): void {
    const high = Math.floor(value / 2 ** 32);
    this.word(value - high * 2 ** 32);
    if (high !== 0) this.word(high);
  }

  addU64(value: bigint): void {
    if (value === 0n) {
      this.word(0);
      return;
    }
    this.word(Number(value & 0xffff_ffffn));
    if (value > 0xffff_ffffn) this.word(Number(value >> 32n));
  }

  addText(text: string): void {
    for (let index = 0; index < text.length; index++) this.word(text.charCodeAt(index));
    this.word(text.length);
  }

  word(bits: number): void {
    this.#a = Math.imul(this.#a ^ bits, 0x0100_0193);
    this.#b = Math.imul((this.#b << 13) ^ (this.#b >>> 19) ^ bits, 0x85eb_ca6b);
  }

  words(page: Uint32Array): void {
    let a = this.#a;
    let b = this.#b;
    for (let index = 0; index < page.length; index++) {
      const bits = page[index] ?? 0;
      a = Math.imul(a ^ bits, 0x0100_0193);
      b = Math.imul((b << 13) ^ (b >>> 19) ^ bits, 0x85eb_ca6b);
    }
    this.#a = a;
    this.#b = b;
  }

  get a(): number {
    return this.#a >>> 0;
  }

  get b(): number {
    return this.#b >>> 0;
  }

  get number(): number {
    return digestNumber(this.a, this.b);
  }
}
