import {
  createRam,
  digestNumber,
  type FrameRange,
  PAGE_WORDS,
  type PageView,
  type Pfn,
  type PhysicalMemory,
  type StateDigest,
} from '@heki/physical-memory';

/** A page as it was at a point, which nobody changes, and its share in the digest of memory. */
interface PageCopy {
  readonly words: Uint32Array;
  readonly a: number;
  readonly b: number;
}

/** All pages that were not empty at a point, by frame, and the sums of their shares. */
interface HostPages {
  readonly copies: ReadonlyMap<number, PageCopy>;
  readonly a: number;
  readonly b: number;
}

const EMPTY = new Uint32Array(PAGE_WORDS);
const NOTHING: PageCopy = { words: EMPTY, a: 0, b: 0 };

/**
 * RAM that is brought back to points: only pages that were asked for writing since are looked at, and what two points have in common is kept
 * once.
 */
export type HostMemory = Pick<RestoredRam, keyof RestoredRam>;

/** RAM of `ranges`, empty. */
export function createHostMemory(ranges: readonly FrameRange<Pfn>[]): HostMemory {
  return new RestoredRam(ranges);
}

class RestoredRam implements PhysicalMemory<Pfn> {
  readonly #ram: PhysicalMemory<Pfn>;
  readonly #change = new PageSums();
  /** What the pages hold, but for those in {@link #written}. */
  #at: HostPages = { copies: new Map(), a: 0, b: 0 };
  /** Pages that were asked for writing since memory was at {@link #at}. */
  readonly #written = new Map<number, Uint32Array>();

  constructor(ranges: readonly FrameRange<Pfn>[]) {
    this.#ram = createRam({ ranges });
  }

  page(frame: Pfn): PageView | undefined {
    return this.#ram.page(frame);
  }

  writablePage(frame: Pfn): Uint32Array | undefined {
    const page = this.#ram.writablePage(frame);
    if (page !== undefined) this.#written.set(frame, page);
    return page;
  }

  /** Has the pages from `start` on hold what those of another memory do. */
  copyFrom(other: HostMemory, start: Pfn): void {
    for (const frame of new Set([...this.used(), ...other.used()]))
      if (frame >= start) this.writablePage(frame)?.set(other.page(frame) ?? EMPTY);
  }

  /** Frames of the pages that may not be empty, some twice. */
  used(): readonly Pfn[] {
    return [...this.#at.copies.keys(), ...this.#written.keys()] as Pfn[];
  }

  /** A number that tells the contents of a page from others. */
  contents(frame: Pfn): number {
    const old = this.#at.copies.get(frame) ?? NOTHING;
    const page = this.#written.get(frame);
    this.#change.reset(old.a, old.b);
    if (page !== undefined) this.#change.take(frame, old.words, page);
    return this.#change.number;
  }

  /** Tells `digest` what all pages hold, but for those of `left`. A page that was never written is as one of zeroes. */
  digest(digest: StateDigest, left: readonly Pfn[] = []): void {
    const change = this.#change;
    change.reset(this.#at.a, this.#at.b);
    for (const frame of left) {
      const { a, b } = this.#at.copies.get(frame) ?? NOTHING;
      change.add(-a, -b);
    }
    for (const [frame, page] of this.#written)
      if (!left.includes(frame as Pfn))
        change.take(frame, (this.#at.copies.get(frame) ?? NOTHING).words, page);
    digest.word(change.a);
    digest.word(change.b);
  }

  /** What the pages hold now: those that are as before are the same copies. */
  point(): HostPages {
    const copies = new Map(this.#at.copies);
    const change = this.#change;
    let { a, b } = this.#at;
    for (const [frame, page] of this.#written) {
      const old = copies.get(frame) ?? NOTHING;
      change.reset(old.a, old.b);
      if (!change.take(frame, old.words, page)) continue;
      copies.set(frame, { words: page.slice(), a: change.a, b: change.b });
      a = (a + change.a - old.a) | 0;
      b = (b + change.b - old.b) | 0;
    }
    this.#at = { copies, a, b };
    this.#written.clear();
    return this.#at;
  }

  /** Brings the pages back. */
  restore(pages: HostPages): void {
    const { copies } = pages;
    const at = this.#at.copies;
    if (at !== copies) {
      for (const [frame, { words }] of copies) if (at.get(frame)?.words !== words) this.#put(frame, words);
      for (const frame of at.keys()) if (!copies.has(frame)) this.#put(frame, EMPTY);
    }
    for (const [frame, page] of this.#written) page.set((copies.get(frame) ?? NOTHING).words);
    this.#at = pages;
    this.#written.clear();
  }

  #put(frame: number, words: Uint32Array): void {
    this.#ram.writablePage(frame as Pfn)?.set(words);
  }
}

/**
 * Sums over the words of pages: of every word that is not 0 its share, two lanes of 32 bits that frame, place and value make. What changed in a page is
 * taken in without looking at what did not.
 */
class PageSums {
  a = 0;
  b = 0;

  reset(a: number, b: number): void {
    this.a = a;
    this.b = b;
  }

  add(a: number, b: number): void {
    this.a = (this.a + a) | 0;
    this.b = (this.b + b) | 0;
  }

  /** A page of `old` words has those of `page` now. Whether any differs. */
  take(frame: number, old: Uint32Array, page: Uint32Array): boolean {
    let differs = false;
    for (let block = 0; block < PAGE_WORDS; block += BLOCK) {
      if (isSameBlock(old, page, block)) continue;
      differs = true;
      this.#takeBlock(frame, old, page, block);
    }
    return differs;
  }

  #takeBlock(frame: number, old: Uint32Array, page: Uint32Array, block: number): void {
    for (let index = block; index < block + BLOCK; index++) {
      const before = old[index] ?? 0;
      const now = page[index] ?? 0;
      if (before === now) continue;
      const place = Math.imul(frame, PAGE_WORDS) + index;
      if (before !== 0) this.add(-share(place, before, SEED_A), -share(place, before, SEED_B));
      if (now !== 0) this.add(share(place, now, SEED_A), share(place, now, SEED_B));
    }
  }

  get number(): number {
    return digestNumber(this.a >>> 0, this.b >>> 0);
  }
}

/** Words that are compared at once: most pages were only read by who could have written. */
const BLOCK = 8;

function isSameBlock(a: Uint32Array, b: Uint32Array, at: number): boolean {
  const differing =
    ((a[at] ?? 0) ^ (b[at] ?? 0)) |
    ((a[at + 1] ?? 0) ^ (b[at + 1] ?? 0)) |
    ((a[at + 2] ?? 0) ^ (b[at + 2] ?? 0)) |
    ((a[at + 3] ?? 0) ^ (b[at + 3] ?? 0)) |
    ((a[at + 4] ?? 0) ^ (b[at + 4] ?? 0)) |
    ((a[at + 5] ?? 0) ^ (b[at + 5] ?? 0)) |
    ((a[at + 6] ?? 0) ^ (b[at + 6] ?? 0)) |
    ((a[at + 7] ?? 0) ^ (b[at + 7] ?? 0));
  return differing === 0;
}

const SEED_A = 0x9e37_79b1;
const SEED_B = 0x85eb_ca77;

/** 32 bits that every bit of place and word has a part in: two rounds of the finalizer of MurmurHash3. */
function share(place: number, word: number, seed: number): number {
  return finalize(finalize(Math.imul(place, seed) ^ seed) ^ word);
}

function finalize(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}
