import { Errno } from '@heki/hypercall/errno';
import type { Gfn } from '@heki/physical-memory';
import type { VmState } from '../vm-state.ts';
import { FRAMES_PER_LEVEL } from './large-pages.ts';
import { installLeaf, planLeaf } from './map-fault.ts';

/**
 * KVM_PRE_FAULT_MEMORY: maps `start` .. `end` - 1 as read faults would, with the largest legal leaves, until it comes to a hole or no
 * frame is left for a table; memory that is mapped stays as it is. The frames from `start` on that are mapped then, or, when the
 * first one is not, a negative error number: EINVAL for an empty range, ENOENT for a hole, ENOMEM (Linux virt/kvm/kvm_main.c,
 * kvm_vcpu_pre_fault_memory).
 */
export function preFault(vm: VmState, start: Gfn, end: Gfn): number {
  if (end <= start) return -Errno.EINVAL;
  return vm.locks.with('mmu_lock', () => {
    let gfn = start;
    let error = 0;
    while (gfn < end && error === 0) {
      const next = preFaultLeaf(vm, gfn);
      if (next < 0) error = next;
      else gfn = Math.min(next, end) as Gfn;
    }
    return gfn > start ? gfn - start : error;
  });
}

/** The frame behind the leaf that maps `gfn` from now on, or a negative error number. */
function preFaultLeaf(vm: VmState, gfn: Gfn): number {
  const slot = vm.slots.find(gfn);
  if (slot === undefined) return -Errno.ENOENT;
  const present = vm.tables.editor.leaf(gfn);
  if (present !== undefined) return present.gfn + framesOf(present.level);
  const wanted = planLeaf(vm, slot, gfn, { fetch: false });
  return installLeaf(vm, slot, wanted) ? wanted.base + framesOf(wanted.level) : -Errno.ENOMEM;
}

function framesOf(level: number): number {
  return FRAMES_PER_LEVEL[level as 1 | 2 | 3];
}
