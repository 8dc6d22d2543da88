import type { Gfn, Pfn } from '@heki/physical-memory';

/** Flags of a memslot (Linux uapi kvm.h). */
export const MemslotFlag = {
  /** KVM_MEM_LOG_DIRTY_PAGES: stores are recorded, and leaves are 4 KiB. */
  LOG_DIRTY_PAGES: 1 << 0,
  /** KVM_MEM_READONLY: a store exits to the VMM. */
  READONLY: 1 << 1,
} as const;

/** Memory that a guest has: frames `base` .. `base` + `frames` - 1, backed by the host frames from `backing` on. */
export interface Memslot {
  readonly id: number;
  readonly base: Gfn;
  readonly frames: number;
  readonly backing: Pfn;
  /** {@link MemslotFlag} bits. */
  readonly flags: number;
  /** The largest level that the host mapping allows: 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB). */
  readonly hostLevel: number;
  /** KVM_LPAGE_MIXED_FLAG of `lpage_info`: regions whose frames have different attributes, by region number. */
  readonly mixed: LargePageFlags;
  /**
   * `dirty_bitmap`: frames stored to since the log was last fetched, counted from the slot's first one, so that they move with it.
   * `undefined` while LOG_DIRTY_PAGES is clear.
   */
  readonly dirty: Set<number> | undefined;
}

/** The flags of one slot: region number (frame / frames per region) for 2 MiB and 1 GiB regions. Sets come when they are asked for: few slots of many have any. */
export interface LargePageFlags {
  readonly 2: Set<number>;
  readonly 3: Set<number>;
  copy(): LargePageFlags;
}

/** No flag is set. */
export function createLargePageFlags(): LargePageFlags {
  return new SetsOnDemand();
}

class SetsOnDemand implements LargePageFlags {
  #flags2M: Set<number> | undefined;
  #flags1G: Set<number> | undefined;

  get 2(): Set<number> {
    this.#flags2M ??= new Set();
    return this.#flags2M;
  }

  get 3(): Set<number> {
    this.#flags1G ??= new Set();
    return this.#flags1G;
  }

  copy(): LargePageFlags {
    const copy = new SetsOnDemand();
    copy.#flags2M = this.#flags2M && new Set(this.#flags2M);
    copy.#flags1G = this.#flags1G && new Set(this.#flags1G);
    return copy;
  }
}

/** The host frame behind `gfn`, which must be in the slot. */
export function backingFrame(slot: Memslot, gfn: Gfn): Pfn {
  return (slot.backing + (gfn - slot.base)) as Pfn;
}

/** mark_page_dirty(). */
export function markDirty(slot: Memslot, gfn: Gfn): void {
  slot.dirty?.add(gfn - slot.base);
}
