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
/**
 * Entries of the part for 1 GiB. A cache has few until two entries would share a slot, and then all, where those two need not: what it
 * holds is the same. Most virtual CPUs of short runs never get there, and 100 KiB of zeroes would be most of what they cost.
 */
const FEW = 4;
const ALL = 64;

/** The slots of a cache, as columns of one buffer: first the part for 4 KiB, then those for 2 MiB and 1 GiB, powers of two. */
class Slots {
  readonly smallMask: number;
  readonly mediumMask: number;
  readonly largeMask: number;
  /** First slots of the parts for 2 MiB and 1 GiB. */
  readonly medium: number;
  readonly large: number;
  /** First frame of the page of every slot. */
  readonly pages: Float64Array;
  /** What to add to a frame of the page of every slot to get the frame that it maps to. */
  readonly shifts: Float64Array;
  /** Tag of every slot; 0 for an empty one. */
  readonly tags: Int32Array;
  /** Rights word of every slot. */
  readonly rights: Int32Array;

  constructor(entries: number) {
    this.medium = 64 * entries;
    this.large = this.medium + 8 * entries;
    this.smallMask = this.medium - 1;
    this.mediumMask = 8 * entries - 1;
    this.largeMask = entries - 1;
    const count = this.large + entries;
    const buffer = new ArrayBuffer(24 * count);
    this.pages = new Float64Array(buffer, 0, count);
    this.shifts = new Float64Array(buffer, 8 * count, count);
    this.tags = new Int32Array(buffer, 16 * count, count);
    this.rights = new Int32Array(buffer, 20 * count, count);
  }

  /** Where an entry would be for the page of `size` that has the frame with the low bits `low`. */
  of(low: number, size: PageSize, tag: number): number {
    const mixed = hash(low >>> SIZE_SHIFTS[size]) ^ mix(tag);
    if (size === 0) return mixed & this.smallMask;
    return size === 1 ? this.medium + (mixed & this.mediumMask) : this.large + (mixed & this.largeMask);
  }
}

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

/** What a slot holds. */
interface Entry {
  readonly page: number;
  readonly size: PageSize;
  readonly tag: number;
  readonly shift: number;
  readonly rights: number;
}

/** Cached translations from frames to frames. */
export class TranslationCache {
  #slots = new Slots(FEW);
  /** The slots that were filled since all were empty, some more than once; more than {@link REMEMBERED}: any may be. */
  readonly #filled: number[] = [];
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
    const slots = this.#slots;
    const { pages, tags } = slots;
    const low = lowBits(frame);
    const small = hash(low);
    let slot = (small ^ this.#mixed) & slots.smallMask;
    if (pages[slot] === frame && tags[slot] === this.#tag) return slot;
    slot = (small ^ this.#otherMixed) & slots.smallMask;
    if (pages[slot] === frame && tags[slot] === this.#otherTag) return slot;
    if (this.#mediumUsed) {
      const page = frame - (low & 0x1ff);
      const medium = hash(low >>> 9);
      slot = slots.medium + ((medium ^ this.#mixed) & slots.mediumMask);
      if (pages[slot] === page && tags[slot] === this.#tag) return slot;
      slot = slots.medium + ((medium ^ this.#otherMixed) & slots.mediumMask);
      if (pages[slot] === page && tags[slot] === this.#otherTag) return slot;
    }
    if (!this.#largeUsed) return -1;
    slot = this.#largeSlot(frame, low, this.#tag);
    return slot >= 0 ? slot : this.#largeSlot(frame, low, this.#otherTag);
  }

  #largeSlot(frame: number, low: number, tag: number): number {
    const { pages, tags } = this.#slots;
    const slot = this.#slots.of(low, 2, tag);
    return pages[slot] === frame - (low & 0x3_ffff) && tags[slot] === tag ? slot : -1;
  }

  /** Where `slot`, which {@link lookUp} gave for `frame`, maps that frame to. */
  target(slot: number, frame: number): number {
    return frame + (this.#slots.shifts[slot] ?? 0);
  }

  /** The rights word of `slot`. */
  rights(slot: number): number {
    return this.#slots.rights[slot] ?? 0;
  }

  /** The size of the page that `slot` translates. */
  size(slot: number): PageSize {
    const { medium, large } = this.#slots;
    return slot < medium ? 0 : slot < large ? 1 : 2;
  }

  /**
   * Caches that `frame` lies in a page of `size` under `tag` and maps to `target`; gives the slot. What was cached
   * for the frame in another size under the same tag is dropped.
   */
  insert(frame: number, size: PageSize, tag: number, target: number, rights: number): number {
    this.drop(frame, tag);
    const low = lowBits(frame);
    if (this.#slots.tags[this.#slots.of(low, size, tag)] !== 0) this.#grow();
    const slot = this.#put(frame - (low & (framesOf(size) - 1)), size, tag, target - frame, rights);
    this.#changed();
    return slot;
  }

  #put(page: number, size: PageSize, tag: number, shift: number, rights: number): number {
    const slots = this.#slots;
    const slot = slots.of(lowBits(page), size, tag);
    if (size === 1) this.#mediumUsed = true;
    if (size === 2) this.#largeUsed = true;
    if (this.#fillings < REMEMBERED) this.#filled.push(slot);
    this.#fillings++;
    slots.pages[slot] = page;
    slots.tags[slot] = tag;
    slots.shifts[slot] = shift;
    slots.rights[slot] = rights;
    return slot;
  }

  /** Makes room, if there can be more. */
  #grow(): void {
    if (this.#slots.largeMask === ALL - 1) return;
    const entries = this.#entries();
    this.#slots = new Slots(ALL);
    this.#forgetFillings();
    this.#putAll(entries);
  }

  #putAll(entries: readonly Entry[]): void {
    for (const { page, size, tag, shift, rights } of entries) this.#put(page, size, tag, shift, rights);
  }

  #forgetFillings(): void {
    this.#filled.length = 0;
    this.#fillings = 0;
  }

  #entries(): Entry[] {
    const { pages, shifts } = this.#slots;
    const entries: Entry[] = [];
    this.#forEach((slot, tag) => {
      const [page = 0, shift = 0, rights = 0] = [pages[slot], shifts[slot], this.rights(slot)];
      entries.push({ page, size: this.size(slot), tag, shift, rights });
    });
    return entries;
  }

  /** Drops whatever translates `frame` under `tag`. Whether there was anything. */
  drop(frame: number, tag: number): boolean {
    const low = lowBits(frame);
    const small = this.#dropSlot(this.#slots.of(low, 0, tag), frame, tag);
    const medium = this.#dropSlot(this.#slots.of(low, 1, tag), frame - (low & 0x1ff), tag);
    const slot = this.#largeSlot(frame, low, tag);
    if (slot >= 0) this.#slots.tags[slot] = 0;
    const any = small || medium || slot >= 0;
    if (any) this.#changed();
    return any;
  }

  #dropSlot(slot: number, page: number, tag: number): boolean {
    if (this.#slots.pages[slot] !== page || this.#slots.tags[slot] !== tag) return false;
    this.#slots.tags[slot] = 0;
    return true;
  }

  /**
   * Drops the entries under `tag` that translate frames from `start` to `start + frames` - 1 and whose rights
   * word has a bit of `having`.
   */
  dropRange(start: number, frames: number, tag: number, having: number): void {
    for (let slot = 0; slot < this.#slots.large; slot++) {
      if (this.#slots.tags[slot] !== tag || ((this.#slots.rights[slot] ?? 0) & having) === 0) continue;
      const first = this.#slots.pages[slot] ?? 0;
      if (first >= start && first < start + frames) this.#slots.tags[slot] = 0;
    }
    this.#changed();
  }

  /** What brings back all that is cached now. */
  checkpoint(): () => void {
    const kept = this.#entries();
    const [tag, otherTag] = [this.#tag, this.#otherTag];
    const version = this.#version;
    return () => {
      if (this.#version === version) {
        this.use(tag, otherTag);
        return;
      }
      this.clear();
      this.#version = version;
      this.#putAll(kept);
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
      entry.add(this.#slots.pages[slot] ?? 0);
      entry.add((this.#slots.pages[slot] ?? 0) + (this.#slots.shifts[slot] ?? 0));
      entry.word(this.#slots.rights[slot] ?? 0);
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
    const { tags } = this.#slots;
    if (this.#fillings <= REMEMBERED) for (const slot of this.#filled) tags[slot] = 0;
    else tags.fill(0);
    this.#forgetFillings();
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
    const slots = few ? new Set(this.#filled) : this.#slots.tags.keys();
    for (const slot of slots) {
      const tag = this.#slots.tags[slot] ?? 0;
      if (tag !== 0) visit(slot, tag);
    }
  }
}

const ENTRY = createStateDigest();
