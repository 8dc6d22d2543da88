import { type Gfn, PAGE_SIZE, type PhysicalMemory } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { rightsOf } from './host-frames.ts';
import { MemslotFlag, markDirty } from './memslot.ts';

/** Entries that are not present. */
const NO_TABLE = new Uint32Array(PAGE_SIZE / 4);

/**
 * Whether a walk by KVM may set accessed and dirty flags in a table at `gfn`, which then is dirty: not in a read-only slot
 * (update_accessed_dirty_bits). The series looks at no rights here (B-H12).
 */
export function takesFlags(vm: VmState, gfn: Gfn): boolean {
  const slot = vm.slots.find(gfn);
  if (slot === undefined || (slot.flags & MemslotFlag.READONLY) !== 0) return false;
  if (!vm.defects['B-H12'] && !rightsOf(vm, gfn).write) return false;
  markDirty(slot, gfn);
  return true;
}

/**
 * The guest's memory as KVM's walks of L1's tables for an L2 reach it: a table outside every slot has no entries, and flags that a table
 * does not take stay as they are (FNAME(walk_addr_generic)).
 */
export function tableMemory(vm: VmState): PhysicalMemory<Gfn> {
  return {
    page: (gfn) => vm.memory.page(gfn) ?? NO_TABLE,
    writablePage: (gfn) => (takesFlags(vm, gfn) ? vm.memory.writablePage(gfn) : undefined),
  };
}
