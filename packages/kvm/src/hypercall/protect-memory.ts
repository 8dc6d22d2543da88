import { KvmError } from '@heki/hypercall/kvm';
import type { ProtectionRange, ProtectionResult } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { applyRanges } from '../attributes/apply-ranges.ts';
import { rangeOfRaw, rawRange } from '../attributes/rights.ts';
import type { HekiVmState } from '../vm-state.ts';
import { readPageList } from './read-page-list.ts';

/** heki_protect_memory(), hypercall 14: the list at guest-physical `list`. 0 or a negative error number. */
export function protectMemory(vm: HekiVmState, vcpu: Vcpu, list: bigint): number {
  const reading = readPageList(vm, list);
  const { ranges } = vm.statistics;
  ranges.sent += reading.ranges.length;
  if (reading.ok) {
    const { error, result } = vm.locks.with('slots_arch_lock', () =>
      applyRanges(vm, reading.ranges, 'guest'),
    );
    vm.hlat?.follow(reading.ranges.slice(0, result.applied).map(rangeOfRaw), vcpu);
    return error;
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
  const { result } = vm.locks.with('slots_arch_lock', () =>
    applyRanges(vm, ranges.map(rawRange), 'vmm', ranges),
  );
  vm.hlat?.follow(ranges.slice(0, result.applied), undefined);
  return result;
}
