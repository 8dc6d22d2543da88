import { type GuestMemoryRegion, type Rights, rightsUnderAllNames } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { backingFrame, type Memslot } from './memslot.ts';
import type { MemslotChange } from './memslots.ts';

/** A slot in the words of the contract. */
function regionOf({ base, frames, backing }: Memslot): GuestMemoryRegion {
  return { start: base, frames, backing };
}

/**
 * The rights of a guest frame: what its own attributes allow, and those of the other guest frames that are the same memory (B-ALIAS), and, of that,
 * what the owner of the code does not withhold from the memory.
 */
export function rightsOf(vm: VmState, gfn: Gfn): Rights {
  const rights = askedRights(vm, gfn);
  if (vm.code === undefined) return rights;
  const slot = vm.slots.find(gfn);
  if (slot === undefined) return rights;
  const frame = backingFrame(slot, gfn);
  const typed = vm.code.typedName?.(frame);
  return typed === undefined || typed === gfn ? vm.code.rights.limit(rights, frame) : rights;
}

/** Whether the owner of the code has taken a guest frame away altogether. */
export function isTaken({ code, slots }: VmState, gfn: Gfn): boolean {
  const slot = code === undefined ? undefined : slots.find(gfn);
  return slot !== undefined && code?.rights.canRead(backingFrame(slot, gfn)) === false;
}

/** What was asked for a guest frame. */
function askedRights({ owner, hostFrames, defects }: VmState, gfn: Gfn): Rights {
  const own = owner.rightsOf(gfn);
  if (defects['B-ALIAS'] || !hostFrames.isShared(gfn, gfn + 1)) return own;
  const asked = (frame: Gfn) => owner.asked(frame, (frame + 1) as Gfn)[0];
  return rightsUnderAllNames(own, asked(gfn) !== undefined, hostFrames.othersOf(gfn, asked));
}

/** Whether an earlier request forbids the guest's later ones for a frame of the range, or for the same memory under another name. */
export function isImmutable({ owner, hostFrames, defects }: VmState, start: number, end: number): boolean {
  if (owner.isImmutable(start, end)) return true;
  return !defects['B-ALIAS'] && hostFrames.isImmutable(start, end, owner.isImmutable);
}

/** Calls `visit` for the frames of a range, and for other guest frames whose rights change with theirs. */
export function forEachName(
  { slots, hostFrames, defects }: VmState,
  start: number,
  end: number,
  visit: (start: Gfn, end: Gfn) => void,
): void {
  slots.forEachIn(start, end, (_slot, from, to) => visit(from, to));
  if (defects['B-ALIAS']) return;
  for (const alias of hostFrames.aliases(start, end)) visit(alias.start, alias.end);
}

/** What was asked for a slot that goes holds for its memory, wherever it comes again. */
export function followHostFrames({ hostFrames, owner }: VmState, { removed, added }: MemslotChange): void {
  if (removed !== undefined) {
    const { base, frames } = removed;
    hostFrames.leave(regionOf(removed), owner.asked(base, (base + frames) as Gfn));
  }
  if (added !== undefined) hostFrames.come(regionOf(added));
}
