import type { FrameRange, Gfn, Pfn, U64 } from '@heki/physical-memory';
import { entryWord, frameIn, spanOf, type TableStore } from './table-store.ts';

/** The outcome of an edit. */
export interface SecondLevelEdit {
  /** `undefined` when all was done; else the first frame not done, because no frame was left for a table. */
  readonly stoppedAt: Gfn | undefined;
  /**
   * The smallest range around all frames whose cached translations may be stale, on every processor that used these
   * tables; `undefined` when nothing can be stale (SDM 3C 29.4.3.4: adding rights and filling absent entries
   * need no flush). Frames of freed tables may be reused only after the flush.
   */
  readonly flush: FrameRange<Gfn> | undefined;
}

/** Bits to clear and then to set in leaves. Bits of the address and the leaf bit of the format must not be among them. */
export interface LeafChange {
  readonly clear: U64;
  readonly set: U64;
}

/** Frames from here on have bits in the high half of an entry. */
const UPPER = 0x10_0000;

/**
 * One edit of a range, in recursion over the tables that it touches. Gathers what must be flushed, and stops at the
 * first frame for which a table page is missing; what was done before that stays done.
 */
export class Edit {
  readonly #tables: TableStore;
  readonly #start: number;
  readonly #end: number;
  #stoppedAt: number | undefined;
  #flushStart = Number.POSITIVE_INFINITY;
  #flushEnd = 0;

  constructor(tables: TableStore, start: Gfn, end: Gfn) {
    this.#tables = tables;
    this.#start = start;
    this.#end = end;
  }

  result(): SecondLevelEdit {
    return {
      stoppedAt: this.#stoppedAt as Gfn | undefined,
      flush:
        this.#flushEnd === 0 ? undefined : { start: this.#flushStart as Gfn, end: this.#flushEnd as Gfn },
    };
  }

  /** Maps frame g of the range to `g + delta`, with leaves of at most `largest`. `merge`: join what then agrees. */
  map(
    table: Pfn,
    level: number,
    base: number,
    delta: number,
    bits: U64,
    largest: number,
    merge: boolean,
  ): void {
    const page = this.#tables.page(table);
    const { present } = this.#tables.format;
    const span = spanOf(level);
    const last = Math.min(this.#end, base + 512 * span);
    const mayBeLeaves = level <= largest && delta % span === 0;
    const leaf = bits.low | this.#tables.leafBits(level);
    let slot = this.#firstSlot(base, span);
    // The frame that the slot maps to, in the two parts that go into the halves of its entry.
    let upper = Math.floor((slot + delta) / UPPER);
    let lower = slot + delta - upper * UPPER;
    for (let word = entryWord(slot as Gfn, level); slot < last; slot += span, word += 2) {
      if (mayBeLeaves && this.#covers(slot, span)) {
        const low = leaf | (lower << 12);
        const high = bits.high | upper;
        if (((page[word] ?? 0) & present) !== 0) {
          this.#store(page, word, level, slot, low >>> 0, high >>> 0);
        } else {
          page[word] = low;
          page[word + 1] = high;
        }
      } else if (!this.#mapsAlready(page, word, level, slot + delta, bits)) {
        const child = this.#childForEdit(page, word, level, slot);
        if (child === undefined) return;
        this.map(child, level - 1, slot, delta, bits, largest, merge);
        if (this.#stoppedAt !== undefined) {
          // A table made for a page that then had no table of its own: no processor can have cached it.
          if (this.#tables.isEmpty(child)) this.#tables.unlink(page, word, child);
          return;
        }
        if (merge) this.#merge(page, word, level, slot);
      }
      lower += span;
      if (lower >= UPPER) {
        upper += Math.floor(lower / UPPER);
        lower %= UPPER;
      }
    }
  }

  /** Makes the range absent; leaves that straddle its ends are split, or with `whole` removed altogether. */
  remove(table: Pfn, level: number, base: number, whole: boolean): void {
    const page = this.#tables.page(table);
    const span = spanOf(level);
    const last = Math.min(this.#end, base + 512 * span);
    let slot = this.#firstSlot(base, span);
    for (let word = entryWord(slot as Gfn, level); slot < last; slot += span, word += 2) {
      const low = page[word] ?? 0;
      if (!this.#tables.isPresent(low)) continue;
      const leaf = this.#tables.isLeaf(low, level);
      if (this.#covers(slot, span) || (leaf && whole)) {
        this.#clear(page, word, level, slot);
        continue;
      }
      const child = this.#childForEdit(page, word, level, slot);
      if (child === undefined) return;
      this.remove(child, level - 1, slot, whole);
      if (this.#stoppedAt !== undefined) return;
      if (this.#tables.isEmpty(child)) this.#clear(page, word, level, slot);
    }
  }

  /** Changes bits of the leaves in the range. */
  update(table: Pfn, level: number, base: number, change: LeafChange): void {
    const page = this.#tables.page(table);
    const span = spanOf(level);
    const last = Math.min(this.#end, base + 512 * span);
    let slot = this.#firstSlot(base, span);
    for (let word = entryWord(slot as Gfn, level); slot < last; slot += span, word += 2) {
      const low = page[word] ?? 0;
      const high = page[word + 1] ?? 0;
      if (!this.#tables.isPresent(low)) continue;
      if (this.#tables.isLeaf(low, level)) {
        const newLow = ((low & ~change.clear.low) | change.set.low) >>> 0;
        const newHigh = ((high & ~change.clear.high) | change.set.high) >>> 0;
        if (newLow === low && newHigh === high) continue;
        if (this.#covers(slot, span)) {
          if (this.#tables.isPresent(newLow)) this.#store(page, word, level, slot, newLow, newHigh);
          else this.#clear(page, word, level, slot);
          continue;
        }
      }
      const child = this.#childForEdit(page, word, level, slot);
      if (child === undefined) return;
      this.update(child, level - 1, slot, change);
      if (this.#stoppedAt !== undefined) return;
      if (this.#tables.isEmpty(child)) this.#clear(page, word, level, slot);
      else this.#merge(page, word, level, slot);
    }
  }

  /** Splits the leaf over the first frame of the range down to `to`. */
  split(table: Pfn, level: number, to: number): void {
    const page = this.#tables.page(table);
    const span = spanOf(level);
    const slot = Math.floor(this.#start / span) * span;
    const word = entryWord(slot as Gfn, level);
    if (level <= to || !this.#tables.isPresent(page[word] ?? 0)) return;
    const child = this.#childForEdit(page, word, level, slot);
    if (child !== undefined) this.split(child, level - 1, to);
  }

  /** Joins, from the bottom up, what agrees under the range. */
  merge(table: Pfn, level: number, base: number): void {
    const page = this.#tables.page(table);
    const span = spanOf(level);
    const last = Math.min(this.#end, base + 512 * span);
    let slot = this.#firstSlot(base, span);
    for (let word = entryWord(slot as Gfn, level); slot < last; slot += span, word += 2) {
      const low = page[word] ?? 0;
      if (!this.#tables.isPresent(low) || this.#tables.isLeaf(low, level)) continue;
      if (level > 2) this.merge(frameIn(low, page[word + 1] ?? 0), level - 1, slot);
      this.#merge(page, word, level, slot);
    }
  }

  /** The first slot of `span` frames, in a table that begins at `base`, that the range touches. */
  #firstSlot(base: number, span: number): number {
    return this.#start <= base ? base : Math.floor(this.#start / span) * span;
  }

  #covers(slot: number, span: number): boolean {
    return this.#start <= slot && slot + span <= this.#end;
  }

  #flush(slot: number, span: number): void {
    if (slot < this.#flushStart) this.#flushStart = slot;
    if (slot + span > this.#flushEnd) this.#flushEnd = slot + span;
  }

  /** The table under the entry at `word`, made from an absent entry or a leaf where need be. */
  #childForEdit(page: Uint32Array, word: number, level: number, slot: number): Pfn | undefined {
    const low = page[word] ?? 0;
    if (!this.#tables.isPresent(low)) {
      const table = this.#tables.create();
      if (table === undefined) this.#stoppedAt = Math.max(slot, this.#start);
      else this.#tables.link(page, word, table);
      return table;
    }
    if (this.#tables.isLeaf(low, level)) {
      if (!this.#tables.split(page, word, level)) {
        this.#stoppedAt = Math.max(slot, this.#start);
        return undefined;
      }
      this.#flush(slot, spanOf(level));
    }
    return frameIn(page[word] ?? 0, page[word + 1] ?? 0);
  }

  /** Whether the entry at `word` is a large leaf that maps to `frame` with `bits`: a part of it need not be split off. */
  #mapsAlready(page: Uint32Array, word: number, level: number, frame: number, bits: U64): boolean {
    const low = page[word] ?? 0;
    const high = page[word + 1] ?? 0;
    if (level === 1 || !this.#tables.isPresent(low) || !this.#tables.isLeaf(low, level)) return false;
    return (
      frameIn(low, high) === frame &&
      ((low ^ (bits.low | this.#tables.leafBits(level))) & 0xfff & ~this.#tables.format.accessedDirty) ===
        0 &&
      ((high ^ bits.high) & 0xfff0_0000) === 0
    );
  }

  /** Writes a leaf over the present entry at `word`. */
  #store(page: Uint32Array, word: number, level: number, slot: number, low: number, high: number): void {
    const oldLow = page[word] ?? 0;
    const oldHigh = page[word + 1] ?? 0;
    page[word] = low;
    page[word + 1] = high;
    if (!this.#tables.isLeaf(oldLow, level)) {
      this.#tables.freeTree(frameIn(oldLow, oldHigh), level - 1);
      this.#flush(slot, spanOf(level));
      return;
    }
    const { flushOnClear, flushOnSet } = this.#tables.format;
    const stale =
      (oldLow & ~low & flushOnClear.low) |
      (oldHigh & ~high & flushOnClear.high) |
      (low & ~oldLow & flushOnSet.low) |
      (high & ~oldHigh & flushOnSet.high);
    if (stale !== 0) this.#flush(slot, spanOf(level));
  }

  /** Makes a present entry absent, and frees what was below it. */
  #clear(page: Uint32Array, word: number, level: number, slot: number): void {
    const low = page[word] ?? 0;
    if (!this.#tables.isLeaf(low, level)) this.#tables.freeTree(frameIn(low, page[word + 1] ?? 0), level - 1);
    this.#tables.setAbsent(page, word);
    this.#flush(slot, spanOf(level));
  }

  #merge(page: Uint32Array, word: number, level: number, slot: number): void {
    if (this.#tables.merge(page, word, level)) this.#flush(slot, spanOf(level));
  }
}
