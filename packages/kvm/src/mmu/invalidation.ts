import { VcpuWaits } from '@heki/hypervisor';
import type { VmState } from '../vm-state.ts';

/** kvm_mmu_invalidate_begin(): until the end no fault maps anything. */
export function beginInvalidation(vm: VmState): void {
  vm.locks.assertHeld('mmu_lock');
  vm.invalidation.inProgress++;
}

/** kvm_mmu_invalidate_end(): faults that began before are tried again. */
export function endInvalidation(vm: VmState): void {
  vm.locks.assertHeld('mmu_lock');
  vm.invalidation.sequence++;
  vm.invalidation.inProgress--;
}

/**
 * is_page_fault_stale(), with `mmu_lock` held: a change began or ended since the fault was at `sequence`. The whole guest counts as the changed
 * range.
 *
 * @throws {VcpuWaits} while a change is under way: the processor faults again and again until it has ended
 */
export function isStale(vm: VmState, sequence: number): boolean {
  vm.locks.assertHeld('mmu_lock');
  if (vm.options.races.staleFaults) return false;
  if (vm.invalidation.inProgress > 0) throw new VcpuWaits('another processor changes attributes');
  return vm.invalidation.sequence !== sequence;
}
