import {
  createRam,
  createStateDigest,
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

/** All pages that were not empty at a point, by frame, and the sums of their lanes. */
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
  readonly #scratch = createStateDigest();
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
    const page = this.#written.get(frame);
    if (page !== undefined) return this.#judge(frame, page) ? this.#scratch.number : 0;
    const { a, b } = this.#at.copies.get(frame) ?? NOTHING;
    return digestNumber(a, b);
  }

  /** Tells `digest` what all pages hold. A page that was never written is as one of zeroes. */
  digest(digest: StateDigest): void {
    let { a, b } = this.#at;
    for (const [frame, page] of this.#written) {
      const old = this.#at.copies.get(frame) ?? NOTHING;
      // Most were only read by who could have written: to compare costs a quarter of a digest.
      if (sameWords(page, old.words)) continue;
      a -= old.a;
      b -= old.b;
      if (!this.#judge(frame, page)) continue;
      a += this.#scratch.a;
      b += this.#scratch.b;
    }
    // Sums of a few hundred words stay exact.
    digest.add(a);
    digest.add(b);
  }

  /** What the pages hold now: those that are as before are the same copies. */
  point(): HostPages {
    const copies = new Map(this.#at.copies);
    for (const [frame, page] of this.#written) {
      if (sameWords(page, (copies.get(frame) ?? NOTHING).words)) continue;
      if (this.#judge(frame, page))
        copies.set(frame, { words: page.slice(), a: this.#scratch.a, b: this.#scratch.b });
      else copies.delete(frame);
    }
    let [a, b] = [0, 0];
    for (const copy of copies.values()) {
      a += copy.a;
      b += copy.b;
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

  /** Leaves the digest of a page in {@link #scratch}. `false` when it is empty. */
  #judge(frame: number, page: Uint32Array): boolean {
    if (sameWords(page, EMPTY)) return false;
    const digest = this.#scratch;
    digest.reset();
    digest.add(frame);
    digest.words(page);
    return true;
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let index = 0; index < PAGE_WORDS; index++) if (a[index] !== b[index]) return false;
  return true;
}
