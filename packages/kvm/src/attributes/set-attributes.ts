import { yieldAt } from '../host/yield.ts';
import { forEachName } from '../memslots/host-frames.ts';
import { beginInvalidation, endInvalidation } from '../mmu/invalidation.ts';
import { flushRemoteTlbs, zap } from '../mmu/zap.ts';
import type { VmState } from '../vm-state.ts';

/** What the attribute setter did. */
export type SetAttributesOutcome = 'stored' | 'nothing-to-do';

/**
 * kvm_vm_set_mem_attributes(): gives `start` .. `end` - 1 the `bits` within `mask`. What was mapped there is gone from
 * every virtual CPU when this returns, and comes back by faults with the new rights.
 *
 * The "nothing to do" test of the series takes frames that have more than the requested bits for done (B-H1).
 */
export function setMemoryAttributes(
  vm: VmState,
  start: number,
  end: number,
  bits: number,
  mask: number,
): SetAttributesOutcome {
  // Heki v2 7/19: a hypercall cannot take slots_lock, which is held over synchronize_srcu().
  vm.locks.assertHeld('slots_arch_lock');
  const done = vm.defects['B-H1']
    ? vm.attributes.all(start, end, bits)
    : vm.attributes.equal(start, end, bits, mask);
  if (done) return 'nothing-to-do';

  vm.locks.with('mmu_lock', () => {
    beginInvalidation(vm);
    let flush = false;
    forEachName(vm, start, end, (from, to) => {
      flush = zap(vm, from, to) || flush;
    });
    if (flush) flushRemoteTlbs(vm);
  });
  yieldAt(vm, 'attribute-change');
  vm.attributes.update(start, end, bits, mask);
  vm.locks.with('mmu_lock', () => {
    vm.slots.forEachIn(start, end, (slot) => vm.largePages.attributesChanged(slot, start, end, bits));
    endInvalidation(vm);
  });
  return 'stored';
}
