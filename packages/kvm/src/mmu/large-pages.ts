import type { Gfn } from '@heki/physical-memory';
import type { AttributeStore } from '../attributes/attribute-store.ts';
import type { KvmDefectSwitches } from '../defects/kvm-defects.ts';
import { backingFrame, type Memslot, MemslotFlag } from '../memslots/memslot.ts';

/** Frames that a leaf of each level covers. */
export const FRAMES_PER_LEVEL = [0, 1, 512, 262144] as const;

/** The levels above 4 KiB. */
type LargeLevel = 2 | 3;

const LEVELS: readonly LargeLevel[] = [2, 3];
/** sizeof(struct kvm_lpage_info). */
const LPAGE_INFO_SIZE = 4;

/** Decides where large leaves are legal: `lpage_info` and its mixed flags. */
export interface LargePages {
  /** The highest level at which `gfn` may be mapped, at most `highest`. */
  legalLevel(slot: Memslot, gfn: Gfn, highest: number): number;
  /** Attributes of `start` .. `end` - 1 have changed, `bits` are what was newly set: kvm_arch_post_set_memory_attributes(). */
  attributesChanged(slot: Memslot, start: number, end: number, bits: number): void;
  /** The slot is new. */
  slotCreated(slot: Memslot): void;
}

/** `overRead` hears of bytes that the published check reads beyond an array (B-H9). */
export function createLargePages(options: {
  readonly attributes: AttributeStore;
  readonly defects: KvmDefectSwitches;
  readonly privateMemory: boolean;
  readonly overRead: (bytes: number, slot: Memslot) => void;
}): LargePages {
  const { attributes, defects, privateMemory, overRead } = options;
  const looseComparison = defects['B-H8'];

  function uniform(start: number, end: number): boolean {
    return attributes.equal(start, end, attributes.get(start as Gfn), 0xffffffff);
  }

  /**
   * hugepage_has_attrs() of the series: whether the region at `start` may be mapped as a whole once `bits` are set.
   * At 1 GiB it looks at the flags of the 2 MiB regions, and past their array when the slot ends before the region.
   */
  function hasAttributes(slot: Memslot, start: number, level: LargeLevel, bits: number): boolean {
    if (level === 2) return attributes.all(start, start + FRAMES_PER_LEVEL[2], bits);
    const regions = Math.ceil((slot.base + slot.frames) / FRAMES_PER_LEVEL[2]);
    let beyond = 0;
    let all = true;
    for (let gfn = start; all && gfn < start + FRAMES_PER_LEVEL[3]; gfn += FRAMES_PER_LEVEL[2]) {
      const region = gfn / FRAMES_PER_LEVEL[2];
      if (region >= regions) beyond++;
      all = !slot.mixed[2].has(region) && (bits & attributes.get(gfn as Gfn)) !== 0;
    }
    if (beyond > 0) overRead(beyond * LPAGE_INFO_SIZE, slot);
    return all;
  }

  /** Whether anything asks for the flags of `slot`: it has room for a large page, or the published check reads them all. */
  const needsFlags = ({ frames }: Memslot): boolean => frames >= FRAMES_PER_LEVEL[2] || defects['B-H9'];

  function setMixed(slot: Memslot, level: LargeLevel, start: number, mixed: boolean): void {
    const region = start / FRAMES_PER_LEVEL[level];
    if (mixed) slot.mixed[level].add(region);
    else slot.mixed[level].delete(region);
  }

  function published(slot: Memslot, level: LargeLevel, start: number, end: number, bits: number): void {
    const span = FRAMES_PER_LEVEL[level];
    const slotEnd = slot.base + slot.frames;
    let at = Math.floor(start / span) * span;
    if (at !== start || at + span > end) {
      if (at >= slot.base && at + span <= slotEnd)
        setMixed(slot, level, at, !hasAttributes(slot, at, level, bits));
      at += span;
    }
    const covered = Math.floor(end / span) * span;
    if (at < covered) {
      forgetRegions(slot.mixed[level], at / span, covered / span);
      at = covered;
    }
    if (at < end && at + span <= slotEnd) setMixed(slot, level, at, !hasAttributes(slot, at, level, bits));
  }

  /** Looks at every region that the range touches again: those in which a run of equal values ends are mixed. */
  function exact(slot: Memslot, level: LargeLevel, start: number, end: number): void {
    const span = FRAMES_PER_LEVEL[level];
    const first = Math.floor(start / span);
    const last = Math.ceil(end / span) - 1;
    forgetRegions(slot.mixed[level], first, last + 1);
    for (const region of [first, last]) {
      if (!uniform(region * span, (region + 1) * span)) slot.mixed[level].add(region);
    }
    attributes.forEach(start, end, (from) => {
      if (from > start && from % span !== 0) slot.mixed[level].add(Math.floor(from / span));
    });
  }

  /**
   * The head of the range as the published check takes it: it is looked at when its 1 GiB region begins in the slot,
   * even if it ends outside. The flag that comes of it is never used; the reads beyond the array are the defect.
   */
  function overReadHead(slot: Memslot, start: number, end: number, bits: number): void {
    const span = FRAMES_PER_LEVEL[3];
    const head = Math.floor(start / span) * span;
    if (head === start && head + span <= end) return;
    if (head >= slot.base && head + span > slot.base + slot.frames) hasAttributes(slot, head, 3, bits);
  }

  function update(slot: Memslot, start: number, end: number, bits: number): void {
    if (defects['B-H9']) overReadHead(slot, start, end, bits);
    for (const level of LEVELS) {
      if (looseComparison) published(slot, level, start, end, bits);
      else exact(slot, level, start, end);
    }
  }

  return {
    legalLevel(slot, gfn, highest) {
      if ((slot.flags & MemslotFlag.LOG_DIRTY_PAGES) !== 0) return 1;
      for (const level of [3, 2] as const) {
        if (level > highest || level > slot.hostLevel) continue;
        const span = FRAMES_PER_LEVEL[level];
        const start = gfn - (gfn % span);
        if (
          start >= slot.base &&
          start + span <= slot.base + slot.frames &&
          backingFrame(slot, start as Gfn) % span === 0 &&
          !slot.mixed[level].has(start / span)
        ) {
          return level;
        }
      }
      return 1;
    },
    attributesChanged(slot, start, end, bits) {
      const from = Math.max(start, slot.base);
      const to = Math.min(end, slot.base + slot.frames);
      if (from < to && needsFlags(slot)) update(slot, from, to, bits);
    },
    slotCreated(slot) {
      if ((defects['B-H10'] && !privateMemory) || !needsFlags(slot)) return;
      const end = slot.base + slot.frames;
      const span = FRAMES_PER_LEVEL[3];
      // Nothing is mixed where nothing has attributes, as in a VM that is being put together.
      if (attributes.all(Math.floor(slot.base / span) * span, Math.ceil(end / span) * span, 0)) return;
      for (const level of LEVELS) exact(slot, level, slot.base, end);
    },
  };
}

/** Removes the regions `first` .. `last` - 1, in the smaller of two amounts of work. */
function forgetRegions(flags: Set<number>, first: number, last: number): void {
  if (flags.size < last - first) {
    for (const region of flags) if (region >= first && region < last) flags.delete(region);
  } else {
    for (let region = first; region < last; region++) flags.delete(region);
  }
}
