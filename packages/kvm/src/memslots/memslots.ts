import { Errno } from '@heki/hypercall/errno';
import {
  FRAME_END,
  firstBehind,
  type Gfn,
  PAGE_SIZE,
  type Pfn,
  type StateDigest,
} from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import { createLargePageFlags, type Memslot, MemslotFlag } from './memslot.ts';

/** Slots that user space may have: KVM_USER_MEM_SLOTS. */
export const USER_MEM_SLOTS = 32764;
/** KVM_MEM_MAX_NR_PAGES: pages of one slot. */
const MAX_SLOT_PAGES = 2 ** 31 - 1;
const USER_FLAGS = MemslotFlag.LOG_DIRTY_PAGES | MemslotFlag.READONLY;

/** `struct kvm_userspace_memory_region`, the argument of KVM_SET_USER_MEMORY_REGION: five u64. */
export interface UserspaceMemoryRegion {
  /** Bits 15:0 the slot, bits 31:16 the address space. */
  readonly slot: number;
  /** {@link MemslotFlag} bits. */
  readonly flags: number;
  readonly guestPhysicalAddress: bigint;
  /** Bytes; 0 deletes the slot. */
  readonly memorySize: bigint;
  /** Where the VMM has the memory. The model's VMM maps host memory one to one: a host-physical address. */
  readonly userspaceAddress: bigint;
}

/** What a change of the slots does to what is mapped. */
export interface MemslotChange {
  readonly removed: Memslot | undefined;
  readonly added: Memslot | undefined;
}

/** The memory of one VM. */
export interface Memslots {
  /** All slots, in the order of their frames. */
  readonly slots: readonly Memslot[];
  /** The lowest number that no slot has. */
  readonly freeId: number;
  /** The slot that has `gfn`. */
  find(gfn: Gfn): Memslot | undefined;
  /** One past the last frame of memory. */
  readonly end: number;
  /** Whether a frame of `start` .. `end` - 1 is memory. */
  overlaps(start: number, end: number): boolean;
  /** Visits the slots that have frames of `start` .. `end` - 1, in order, with the first of these and the one past the last. */
  forEachIn(start: number, end: number, visit: (slot: Memslot, from: Gfn, to: Gfn) => void): void;
  /**
   * KVM_SET_USER_MEMORY_REGION: the change, or a negative error number. Overlap is EEXIST; anything else that is
   * wrong, another size or another READONLY for a live slot too, is EINVAL.
   */
  set(region: UserspaceMemoryRegion, hostLevel?: number): MemslotChange | number;
  /** What brings back the slots of now, with their dirty logs. */
  checkpoint(): () => void;
  /** Tells `digest` the slots of now. */
  digest(digest: StateDigest): void;
}

/**
 * kvm_prepare_memory_region(): a slot that logs goes on with the log that it has, moved or not; one that begins to gets an empty one;
 * one that no longer does loses it.
 */
function dirtyLogOf(flags: number, old: Memslot | undefined): Set<number> | undefined {
  return (flags & MemslotFlag.LOG_DIRTY_PAGES) === 0 ? undefined : (old?.dirty ?? new Set());
}

/** One past the last frame that a guest on `processor` can have (`kvm_mmu_max_gfn`). */
export function frameEndOf({ maxPhysicalAddressBits }: CpuProfile): number {
  return 2 ** (maxPhysicalAddressBits - 12);
}

const endOf = ({ base, frames }: Memslot): number => base + frames;

/** Whether these are the same slots. */
function isSame(a: readonly Memslot[], b: readonly Memslot[]): boolean {
  return a.length === b.length && a.every((slot, index) => slot === b[index]);
}

/** Whether what can change in a slot is as in another. */
function holdsWhat({ mixed, dirty }: Memslot, other: Memslot | undefined): boolean {
  return (
    other !== undefined &&
    isSameSet(mixed[2], other.mixed[2]) &&
    isSameSet(mixed[3], other.mixed[3]) &&
    isSameSet(dirty, other.dirty)
  );
}

function isSameSet(a: ReadonlySet<number> | undefined, b: ReadonlySet<number> | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.size !== b.size) return false;
  for (const each of a) if (!b.has(each)) return false;
  return true;
}

function digestSet(set: ReadonlySet<number> | undefined, digest: StateDigest): void {
  digest.word(set?.size ?? 0);
  if (set !== undefined && set.size > 0)
    for (const value of [...set].sort((a, b) => a - b)) digest.add(value);
}

/** The slots of a new VM: none. All will lie below `frameEnd`. */
export function createMemslots(frameEnd: number = FRAME_END): Memslots {
  const sorted: Memslot[] = [];
  const byId = new Map<number, Memslot>();
  /** Every number below is taken. */
  let lowestFree = 0;
  let last: Memslot | undefined;

  // A VM that is put together gets its memory in order, each slot behind all others.
  const indexAfter = (gfn: number): number =>
    gfn >= memslots.end ? sorted.length : firstBehind(sorted, gfn, endOf);

  function replace(removed: Memslot | undefined, added: Memslot | undefined): MemslotChange {
    last = undefined;
    if (removed !== undefined) {
      sorted.splice(indexAfter(removed.base), 1);
      byId.delete(removed.id);
      lowestFree = Math.min(lowestFree, removed.id);
    }
    if (added !== undefined) {
      sorted.splice(indexAfter(added.base), 0, added);
      byId.set(added.id, added);
    }
    return { removed, added };
  }

  const copyOf = (slot: Memslot): Memslot => ({
    ...slot,
    mixed: slot.mixed.copy(),
    dirty: slot.dirty && new Set(slot.dirty),
  });

  const memslots: Memslots = {
    slots: sorted,
    checkpoint() {
      const kept = sorted.map(copyOf);
      const free = lowestFree;
      let given: readonly Memslot[] = [...sorted];
      return () => {
        lowestFree = free;
        if (isSame(sorted, given) && given.every((slot, index) => holdsWhat(slot, kept[index]))) return;
        const slots = kept.map(copyOf);
        given = slots;
        sorted.splice(0, sorted.length, ...slots);
        byId.clear();
        for (const slot of slots) byId.set(slot.id, slot);
        last = undefined;
      };
    },
    digest(digest) {
      for (const { id, base, frames, backing, flags, hostLevel, mixed, dirty } of sorted) {
        digest.add(id);
        digest.add(base);
        digest.add(frames);
        digest.add(backing);
        digest.word(flags);
        digest.word(hostLevel);
        digestSet(mixed[2], digest);
        digestSet(mixed[3], digest);
        digestSet(dirty, digest);
      }
    },
    get freeId() {
      while (byId.has(lowestFree)) lowestFree++;
      return lowestFree;
    },
    get end() {
      const highest = sorted.at(-1);
      return highest === undefined ? 0 : highest.base + highest.frames;
    },
    find(gfn) {
      if (last !== undefined && gfn >= last.base && gfn < last.base + last.frames) return last;
      const slot = sorted[indexAfter(gfn)];
      if (slot === undefined || gfn < slot.base) return undefined;
      last = slot;
      return slot;
    },
    overlaps(start, end) {
      const slot = sorted[indexAfter(start)];
      return slot !== undefined && slot.base < end;
    },
    forEachIn(start, end, visit) {
      for (let index = indexAfter(start); index < sorted.length; index++) {
        const slot = sorted[index];
        if (slot === undefined || slot.base >= end) break;
        visit(slot, Math.max(start, slot.base) as Gfn, Math.min(end, slot.base + slot.frames) as Gfn);
      }
    },
    set(region, hostLevel = 3) {
      const { slot: id, flags } = region;
      // Exact below 2^53; what lies above is beyond one bound or another.
      const gpa = Number(region.guestPhysicalAddress);
      const size = Number(region.memorySize);
      const userspaceAddress = Number(region.userspaceAddress);
      if (
        (flags & ~USER_FLAGS) !== 0 ||
        size % PAGE_SIZE !== 0 ||
        gpa % PAGE_SIZE !== 0 ||
        userspaceAddress % PAGE_SIZE !== 0 ||
        Math.min(gpa, size, userspaceAddress) < 0 ||
        id < 0 ||
        id >= USER_MEM_SLOTS ||
        gpa + size >= 2 ** 64 ||
        userspaceAddress + size > 2 ** 52 ||
        size > MAX_SLOT_PAGES * PAGE_SIZE
      ) {
        return -Errno.EINVAL;
      }
      const old = byId.get(id);
      if (size === 0) return old === undefined ? -Errno.EINVAL : replace(old, undefined);

      const added: Memslot = {
        id,
        base: (gpa / PAGE_SIZE) as Gfn,
        frames: size / PAGE_SIZE,
        backing: (userspaceAddress / PAGE_SIZE) as Pfn,
        flags,
        // The host's mapping stays where it is when the slot moves over it.
        hostLevel: old?.hostLevel ?? hostLevel,
        mixed: createLargePageFlags(),
        dirty: dirtyLogOf(flags, old),
      };
      if (old !== undefined) {
        const readOnlyToggled = ((flags ^ old.flags) & MemslotFlag.READONLY) !== 0;
        if (added.backing !== old.backing || added.frames !== old.frames || readOnlyToggled) {
          return -Errno.EINVAL;
        }
        if (added.base === old.base) {
          if (flags === old.flags) return { removed: undefined, added: undefined };
          return replace(old, { ...added, mixed: old.mixed });
        }
      }
      for (let index = indexAfter(added.base); index < sorted.length; index++) {
        const other = sorted[index];
        if (other === undefined || other.base >= added.base + added.frames) break;
        if (other !== old) return -Errno.EEXIST;
      }
      // kvm_arch_prepare_memory_region, which comes last.
      if (added.base + added.frames > frameEnd) return -Errno.EINVAL;
      return replace(old, added);
    },
  };
  return memslots;
}
