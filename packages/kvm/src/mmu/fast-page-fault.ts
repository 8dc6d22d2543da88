import { frameOf, type Gfn } from '@heki/physical-memory';
import { markDirty } from '../memslots/memslot.ts';
import type { VmState } from '../vm-state.ts';
import type { GuestFault } from './page-fault.ts';
import { rewriteLeaves } from './rewrite-leaves.ts';

/**
 * fast_page_fault(): mends a leaf in place when KVM itself took the right away, to log stores or to see whether the
 * page is in use. It gives back what the leaf had, never more: a leaf without WRITE was never MMU-writable. Whether
 * the fault is mended.
 */
export function fastPageFault(vm: VmState, fault: GuestFault): boolean {
  const gfn = frameOf(fault.gpa);
  const slot = vm.slots.find(gfn);
  if (slot === undefined) return false;
  const { format } = vm.tables;
  return vm.locks.with('mmu_lock', () => {
    const changed = rewriteLeaves(vm, gfn, (gfn + 1) as Gfn, (entry) => {
      const restored = format.restoreAge(entry);
      if (!fault.write) return restored;
      const writable = format.makeWritable(restored);
      if (format.rights(writable).write) markDirty(slot, gfn);
      return writable;
    });
    return changed > 0;
  });
}
