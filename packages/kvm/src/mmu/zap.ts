import type { Gfn } from '@heki/physical-memory';
import { yieldAt } from '../host/yield.ts';
import { flushNested } from '../nested/nested.ts';
import type { VmState } from '../vm-state.ts';

/**
 * Removes every leaf that touches `start` .. `end` - 1, large ones as a whole. Whether there was one: then
 * {@link flushRemoteTlbs} must come before anybody relies on it.
 */
export function zap(vm: VmState, start: Gfn, end: Gfn): boolean {
  vm.locks.assertHeld('mmu_lock');
  const leaves = vm.emit === undefined ? 0 : countLeaves(vm, start, end);
  const { flush } = vm.tables.editor.zap(start, end);
  if (flush === undefined) return false;
  vm.statistics.zaps++;
  vm.emit?.({ type: 'zapped', start, end, leaves });
  yieldAt(vm, 'zap');
  return true;
}

/** kvm_flush_remote_tlbs(): every virtual CPU forgets what it cached of the second level. */
export function flushRemoteTlbs(vm: VmState): void {
  for (const vcpu of vm.vcpus) {
    vcpu.invept(vm.tables.root);
    yieldAt(vm, 'flush');
    if (vm.options.races.localFlush) break;
  }
  flushNested(vm);
  vm.statistics.flushes++;
  vm.emit?.({ type: 'flushed', vcpus: vm.vcpus.length });
}

/** Zaps and flushes all memory: what a change of the default rights, of a slot or of the whole state needs. */
export function zapAll(vm: VmState): void {
  vm.locks.with('mmu_lock', () => {
    let flush = false;
    for (const { base, frames } of vm.slots.slots) flush = zap(vm, base, (base + frames) as Gfn) || flush;
    if (flush) flushRemoteTlbs(vm);
  });
}

function countLeaves(vm: VmState, start: Gfn, end: Gfn): number {
  let leaves = 0;
  vm.tables.editor.forEachLeaf(start, end, () => {
    leaves++;
  });
  return leaves;
}
