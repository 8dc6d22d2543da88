import { Errno } from '@heki/hypercall/errno';
import type { Gfn } from '@heki/physical-memory';
import { USER_MEM_SLOTS } from '../memslots/memslots.ts';
import type { VmState } from '../vm-state.ts';
import { rewriteLeaves } from './rewrite-leaves.ts';

/**
 * KVM_GET_DIRTY_LOG. The pages in it lose write access, and the fast page fault gives it back on the next store - to those
 * that are MMU-writable, which a page without WRITE is not.
 */
export function getDirtyLog(vm: VmState, id: number): readonly Gfn[] | number {
  if (!(id >= 0 && id < USER_MEM_SLOTS)) return -Errno.EINVAL;
  const slot = vm.slots.slots.find((candidate) => candidate.id === id);
  if (slot?.dirty === undefined) return -Errno.ENOENT;
  const log = slot.dirty;
  return vm.locks.with('slots_lock', () =>
    vm.locks.with('mmu_lock', () => {
      const dirty = [...log].sort((a, b) => a - b).map((offset) => (slot.base + offset) as Gfn);
      log.clear();
      for (const gfn of dirty) {
        rewriteLeaves(vm, gfn, (gfn + 1) as Gfn, (entry) => vm.tables.format.writeProtect(entry));
      }
      return dirty;
    }),
  );
}
