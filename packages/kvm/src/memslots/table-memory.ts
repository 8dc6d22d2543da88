import { type Gfn, PAGE_SIZE, type PhysicalMemory } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { rightsOf } from './host-frames.ts';
import { type Memslot, MemslotFlag, markDirty } from './memslot.ts';

/** Entries that are not present. */
const NO_TABLE = new Uint32Array(PAGE_SIZE / 4);

/**
 * The slot of a table that a walk by KVM may set accessed and dirty flags in: no read-only one (update_accessed_dirty_bits). The series
 * looks at no rights here (B-H12).
 */
function slotForFlags(vm: VmState, gfn: Gfn): Memslot | undefined {
  const slot = vm.slots.find(gfn);
  if (slot === undefined || (slot.flags & MemslotFlag.READONLY) !== 0) return undefined;
  return vm.defects['B-H12'] || rightsOf(vm, gfn).write ? slot : undefined;
}

/** Whether a walk sets flags in a table at `gfn`, which then is dirty. */
export function takesFlags(vm: VmState, gfn: Gfn): boolean {
  const slot = slotForFlags(vm, gfn);
  if (slot !== undefined) markDirty(slot, gfn);
  return slot !== undefined;
}

/**
 * The guest's memory as KVM's walks of L1's tables for an L2 reach it: a table outside every slot has no entries, and flags that a table
 * does not take stay as they are (FNAME(walk_addr_generic)).
 */
export function tableMemory(vm: VmState): PhysicalMemory<Gfn> {
  return {
    page: (gfn) => vm.memory.page(gfn) ?? NO_TABLE,
    writablePage: (gfn) => (slotForFlags(vm, gfn) === undefined ? undefined : vm.memory.writablePage(gfn)),
  };
}
