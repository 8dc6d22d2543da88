import { KvmError } from '@heki/hypercall/kvm';
import type { ProtectionRange, ProtectionResult } from '@heki/hypervisor';
import { applyRanges } from '../attributes/apply-ranges.ts';
import { rawRange } from '../attributes/rights.ts';
import type { HekiVmState } from '../vm-state.ts';
import { readPageList } from './read-page-list.ts';

/** heki_protect_memory(), hypercall 14: the list at guest-physical `list`. 0 or a negative error number. */
export function protectMemory(vm: HekiVmState, list: bigint): number {
  const reading = readPageList(vm, list);
  const { ranges } = vm.statistics;
  ranges.sent += reading.ranges.length;
  if (reading.ok) {
    return vm.locks.with('slots_arch_lock', () => applyRanges(vm, reading.ranges, 'guest')).error;
  }
  ranges.refused += reading.ranges.length;
  const why = reading.error === -KvmError.E2BIG ? 'too-much' : 'bad-request';
  vm.emit?.({
    type: 'protected',
    by: 'guest',
    result: { applied: 0, weakened: [], refused: { at: -1, why } },
  });
  return reading.error;
}

/** The same from the host's own code. */
export function protectFromHost(vm: HekiVmState, ranges: readonly ProtectionRange[]): ProtectionResult {
  vm.statistics.ranges.sent += ranges.length;
  return vm.locks.with('slots_arch_lock', () => applyRanges(vm, ranges.map(rawRange), 'vmm', ranges)).result;
}
