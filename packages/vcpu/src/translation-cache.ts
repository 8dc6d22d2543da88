/**
 * Cached translations in packed arrays: three direct-mapped parts, for pages of 4 KiB, 2 MiB and 1 GiB. A virtual CPU has
 * one for linear addresses and one for guest-physical addresses; what the rights word of an entry means is theirs to say.
 *
 * Every entry carries a tag. A tag that is never asked for again is flushed, so that dropping a whole address space
 * costs nothing.
 */

/** log2 of the 4-KiB frames of a page of each size. */
const SIZE_SHIFTS = [0, 9, 18] as const;
/** Entries of each part. Powers of two. */
const PARTS = [4096, 512, 64] as const;
const MEDIUM = PARTS[0];
const LARGE = MEDIUM + PARTS[1];
const SLOTS = LARGE + PARTS[2];

const SMALL_MASK = PARTS[0] - 1;
const MEDIUM_MASK = PARTS[1] - 1;
const LARGE_MASK = PARTS[2] - 1;

/** The size of a page: 0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB. */
export type PageSize = 0 | 1 | 2;

/** 4-KiB frames of a page of `size`. */
export function framesOf(size: PageSize): number {
  return 2 ** SIZE_SHIFTS[size];
}

/** A slot for page number `page` of a part: its low bits, and the ones above them so that aligned regions spread. */
function hash(page: number, mask: number): number {
  const low = page - Math.floor(page / 2 ** 32) * 2 ** 32;
  return (low ^ (low >>> 12)) & mask;
}

/** Cached translations from frames to frames. */
export class TranslationCache {
  /** Page number (frame divided by the frames of its size) of every slot. */
  readonly #pages: Float64Array = new Float64Array(SLOTS);
  /** Tag of every slot; 0 for an empty one. */
  readonly #tags: Int32Array = new Int32Array(SLOTS);
  /** First frame that the page of every slot maps to. */
  readonly #targets: Float64Array = new Float64Array(SLOTS);
  /** Rights word of every slot. */
  readonly rights: Int32Array = new Int32Array(SLOTS);
  /** Whether the part may hold anything at all. */
  #mediumUsed = false;
  #largeUsed = false;

  /** The slot that translates `frame` under `tag` or `otherTag` (neither 0), or -1. */
  find(frame: number, tag: number, otherTag: number): number {
    let slot = hash(frame, SMALL_MASK);
    if (this.#pages[slot] === frame) {
      const found = this.#tags[slot];
      if (found === tag || found === otherTag) return slot;
    }
    if (this.#mediumUsed) {
      const page = Math.floor(frame / 512);
      slot = MEDIUM + hash(page, MEDIUM_MASK);
      if (this.#pages[slot] === page) {
        const found = this.#tags[slot];
        if (found === tag || found === otherTag) return slot;
      }
    }
    if (this.#largeUsed) {
      const page = Math.floor(frame / 2 ** 18);
      slot = LARGE + hash(page, LARGE_MASK);
      if (this.#pages[slot] === page) {
        const found = this.#tags[slot];
        if (found === tag || found === otherTag) return slot;
      }
    }
    return -1;
  }

  /** Where `slot`, which {@link find} gave for `frame`, maps that frame to. */
  target(slot: number, frame: number): number {
    const target = this.#targets[slot] ?? 0;
    if (slot < MEDIUM) return target;
    return target + frame - (this.#pages[slot] ?? 0) * (slot < LARGE ? 512 : 2 ** 18);
  }

  /** The size of the page that `slot` translates. */
  size(slot: number): PageSize {
    return slot < MEDIUM ? 0 : slot < LARGE ? 1 : 2;
  }

  /**
   * Caches that `frame` lies in a page of `size` under `tag` and maps to `target`; gives the slot. What was cached
   * for the frame in another size under the same tag is dropped.
   */
  insert(frame: number, size: PageSize, tag: number, target: number, rights: number): number {
    for (let old = this.find(frame, tag, tag); old >= 0; old = this.find(frame, tag, tag))
      this.#tags[old] = 0;
    const frames = framesOf(size);
    const page = Math.floor(frame / frames);
    let slot: number;
    if (size === 0) {
      slot = hash(page, SMALL_MASK);
    } else if (size === 1) {
      slot = MEDIUM + hash(page, MEDIUM_MASK);
      this.#mediumUsed = true;
    } else {
      slot = LARGE + hash(page, LARGE_MASK);
      this.#largeUsed = true;
    }
    this.#pages[slot] = page;
    this.#tags[slot] = tag;
    this.#targets[slot] = target - (frame - page * frames);
    this.rights[slot] = rights;
    return slot;
  }

  /** Drops whatever translates `frame` under `tag`. Whether there was anything. */
  drop(frame: number, tag: number): boolean {
    let dropped = false;
    for (let slot = this.find(frame, tag, tag); slot >= 0; slot = this.find(frame, tag, tag)) {
      this.#tags[slot] = 0;
      dropped = true;
    }
    return dropped;
  }

  /**
   * Drops the entries under `tag` that translate frames from `start` to `start + frames` - 1 and whose rights
   * word has a bit of `having`.
   */
  dropRange(start: number, frames: number, tag: number, having: number): void {
    for (let slot = 0; slot < LARGE; slot++) {
      if (this.#tags[slot] !== tag || ((this.rights[slot] ?? 0) & having) === 0) continue;
      const first = (this.#pages[slot] ?? 0) * (slot < MEDIUM ? 1 : 512);
      if (first >= start && first < start + frames) this.#tags[slot] = 0;
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#tags.fill(0);
    this.#mediumUsed = false;
    this.#largeUsed = false;
  }
}
