import { createStateDigest, type StateDigest } from '@heki/physical-memory';

/**
 * Cached translations in packed arrays: three direct-mapped parts, for pages of 4 KiB, 2 MiB and 1 GiB. The tag has its
 * share in the slot, so that the same page of several address spaces can be cached at once. A virtual CPU has one for linear addresses and one for guest-physical addresses; what the rights word of an entry means is theirs to say.
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

/** Slots that are remembered as filled: as long as there are no more, who clears or copies the cache need not look at all. As many digests, too. */
const REMEMBERED = 64;

/** The size of a page: 0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB. */
export type PageSize = 0 | 1 | 2;

/** 4-KiB frames of a page of `size`. */
export function framesOf(size: PageSize): number {
  return 2 ** SIZE_SHIFTS[size];
}

/** The low 32 bits of a frame, as a number that JavaScript's bit operators take whole. */
function lowBits(frame: number): number {
  return frame - Math.floor(frame * 2 ** -32) * 2 ** 32;
}

/** Bits that depend on a page's number, also on high ones, so that aligned regions spread. */
function hash(page: number): number {
  return page ^ (page >>> 12);
}

/** Bits that depend on a tag, all of them: tags are given out in sequence. */
function mix(tag: number): number {
  return Math.imul(tag, 0x9e37_79b1) >>> 16;
}

/** What tags stand for. */
export interface TagContexts {
  /** Changes whenever a tag stands for something else. */
  readonly version: number;
  /** What a tag stands for; 0 for one that is never asked for again. */
  contextOf(tag: number): number;
}

/** Cached translations from frames to frames. */
export class TranslationCache {
  /** First frame of the page of every slot. */
  readonly #pages: Float64Array = new Float64Array(SLOTS);
  /** Tag of every slot; 0 for an empty one. */
  readonly #tags: Int32Array = new Int32Array(SLOTS);
  /** What to add to a frame of the page of every slot to get the frame that it maps to. */
  readonly #shifts: Float64Array = new Float64Array(SLOTS);
  /** Rights word of every slot. */
  readonly rights: Int32Array = new Int32Array(SLOTS);
  /** The slots that were filled since all were empty, some more than once; more than {@link REMEMBERED}: any may be. */
  readonly #filled: Int32Array = new Int32Array(REMEMBERED);
  #fillings = 0;
  /** Whether the part may hold anything at all. */
  #mediumUsed = false;
  #largeUsed = false;
  /** The tags under which {@link lookUp} finds, and their share in slots. */
  #tag = -1;
  #otherTag = -1;
  #mixed = 0;
  #otherMixed = 0;
  /** Which contents there are: each change makes new ones, and a point that is brought back has those that it had. */
  #version = 0;
  #latest = 0;
  /** Lanes of the digests of contents that were asked for lately, by version. */
  readonly #digests = new Map<number, { readonly tags: number; readonly a: number; readonly b: number }>();

  /** Chooses the two tags, neither 0, under which {@link lookUp} finds; they may be the same. */
  use(tag: number, otherTag: number): void {
    this.#tag = tag;
    this.#otherTag = otherTag;
    this.#mixed = mix(tag);
    this.#otherMixed = mix(otherTag);
  }

  /** The slot that translates `frame` under one of the two tags chosen, or -1. */
  lookUp(frame: number): number {
    const low = lowBits(frame);
    const small = hash(low);
    let slot = (small ^ this.#mixed) & SMALL_MASK;
    if (this.#pages[slot] === frame && this.#tags[slot] === this.#tag) return slot;
    slot = (small ^ this.#otherMixed) & SMALL_MASK;
    if (this.#pages[slot] === frame && this.#tags[slot] === this.#otherTag) return slot;
    if (this.#mediumUsed) {
      const page = frame - (low & 0x1ff);
      const medium = hash(low >>> 9);
      slot = MEDIUM + ((medium ^ this.#mixed) & MEDIUM_MASK);
      if (this.#pages[slot] === page && this.#tags[slot] === this.#tag) return slot;
      slot = MEDIUM + ((medium ^ this.#otherMixed) & MEDIUM_MASK);
      if (this.#pages[slot] === page && this.#tags[slot] === this.#otherTag) return slot;
    }
    if (!this.#largeUsed) return -1;
    slot = this.#largeSlot(frame, low, this.#tag);
    return slot >= 0 ? slot : this.#largeSlot(frame, low, this.#otherTag);
  }

  #largeSlot(frame: number, low: number, tag: number): number {
    const slot = LARGE + ((hash(low >>> 18) ^ mix(tag)) & LARGE_MASK);
    return this.#pages[slot] === frame - (low & 0x3_ffff) && this.#tags[slot] === tag ? slot : -1;
  }

  /** Where `slot`, which {@link lookUp} gave for `frame`, maps that frame to. */
  target(slot: number, frame: number): number {
    return frame + (this.#shifts[slot] ?? 0);
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
    this.drop(frame, tag);
    const low = lowBits(frame);
    let slot: number;
    if (size === 0) {
      slot = (hash(low) ^ mix(tag)) & SMALL_MASK;
    } else if (size === 1) {
      slot = MEDIUM + ((hash(low >>> 9) ^ mix(tag)) & MEDIUM_MASK);
      this.#mediumUsed = true;
    } else {
      slot = LARGE + ((hash(low >>> 18) ^ mix(tag)) & LARGE_MASK);
      this.#largeUsed = true;
    }
    if (this.#fillings < REMEMBERED) this.#filled[this.#fillings] = slot;
    this.#fillings++;
    const inside = low & (framesOf(size) - 1);
    this.#pages[slot] = frame - inside;
    this.#tags[slot] = tag;
    this.#shifts[slot] = target - frame;
    this.rights[slot] = rights;
    this.#changed();
    return slot;
  }

  /** Drops whatever translates `frame` under `tag`. Whether there was anything. */
  drop(frame: number, tag: number): boolean {
    const low = lowBits(frame);
    const mixed = mix(tag);
    const small = this.#dropSlot((hash(low) ^ mixed) & SMALL_MASK, frame, tag);
    const medium = this.#dropSlot(
      MEDIUM + ((hash(low >>> 9) ^ mixed) & MEDIUM_MASK),
      frame - (low & 0x1ff),
      tag,
    );
    const slot = this.#largeSlot(frame, low, tag);
    if (slot >= 0) this.#tags[slot] = 0;
    const any = small || medium || slot >= 0;
    if (any) this.#changed();
    return any;
  }

  #dropSlot(slot: number, page: number, tag: number): boolean {
    if (this.#pages[slot] !== page || this.#tags[slot] !== tag) return false;
    this.#tags[slot] = 0;
    return true;
  }

  /**
   * Drops the entries under `tag` that translate frames from `start` to `start + frames` - 1 and whose rights
   * word has a bit of `having`.
   */
  dropRange(start: number, frames: number, tag: number, having: number): void {
    for (let slot = 0; slot < LARGE; slot++) {
      if (this.#tags[slot] !== tag || ((this.rights[slot] ?? 0) & having) === 0) continue;
      const first = this.#pages[slot] ?? 0;
      if (first >= start && first < start + frames) this.#tags[slot] = 0;
    }
    this.#changed();
  }

  /** What brings back all that is cached now. */
  checkpoint(): () => void {
    const kept: (readonly [slot: number, page: number, tag: number, shift: number, rights: number])[] = [];
    this.#forEach((slot, tag) => {
      kept.push([slot, this.#pages[slot] ?? 0, tag, this.#shifts[slot] ?? 0, this.rights[slot] ?? 0]);
    });
    const [mediumUsed, largeUsed, tag, otherTag] = [
      this.#mediumUsed,
      this.#largeUsed,
      this.#tag,
      this.#otherTag,
    ];
    const version = this.#version;
    return () => {
      if (this.#version === version) {
        this.use(tag, otherTag);
        return;
      }
      this.clear();
      this.#version = version;
      for (const [slot, page, held, shift, rights] of kept) {
        this.#pages[slot] = page;
        this.#tags[slot] = held;
        this.#shifts[slot] = shift;
        this.rights[slot] = rights;
        if (this.#fillings < REMEMBERED) this.#filled[this.#fillings] = slot;
        this.#fillings++;
      }
      this.#mediumUsed = mediumUsed;
      this.#largeUsed = largeUsed;
      this.use(tag, otherTag);
    };
  }

  /**
   * Tells `digest` all that is cached, in no order. `tags` say what a tag stands for: tags themselves are only numbers.
   */
  digest(digest: StateDigest, tags: TagContexts): void {
    const known = this.#digests.get(this.#version);
    if (known?.tags === tags.version) {
      digest.add(known.a);
      digest.add(known.b);
      return;
    }
    let [a, b] = [0, 0];
    this.#forEach((slot, tag) => {
      const context = tags.contextOf(tag);
      if (context === 0) return;
      const entry = ENTRY;
      entry.reset();
      entry.add(context);
      entry.add(this.size(slot));
      entry.add(this.#pages[slot] ?? 0);
      entry.add((this.#pages[slot] ?? 0) + (this.#shifts[slot] ?? 0));
      entry.word(this.rights[slot] ?? 0);
      a += entry.a;
      b += entry.b;
    });
    // Sums of some thousand words stay exact.
    digest.add(a);
    digest.add(b);
    if (this.#digests.size >= REMEMBERED) this.#digests.clear();
    this.#digests.set(this.#version, { tags: tags.version, a, b });
  }

  /** Drops everything. */
  clear(): void {
    if (this.#fillings <= REMEMBERED) {
      for (let index = 0; index < this.#fillings; index++) this.#tags[this.#filled[index] ?? 0] = 0;
    } else {
      this.#tags.fill(0);
    }
    this.#fillings = 0;
    this.#mediumUsed = false;
    this.#largeUsed = false;
    this.#changed();
  }

  #changed(): void {
    this.#version = ++this.#latest;
  }

  /** Calls `visit` for every slot that is not empty, once. */
  #forEach(visit: (slot: number, tag: number) => void): void {
    const few = this.#fillings <= REMEMBERED;
    const slots = few ? new Set(this.#filled.subarray(0, this.#fillings)) : this.#tags.keys();
    for (const slot of slots) {
      const tag = this.#tags[slot] ?? 0;
      if (tag !== 0) visit(slot, tag);
    }
  }
}

const ENTRY = createStateDigest();
