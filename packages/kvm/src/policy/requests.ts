import { KvmError } from '@heki/hypercall/kvm';
import {
  HypervisorError,
  type PinRequest,
  type PinResult,
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
} from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { firstFault } from '../attributes/check-range.ts';
import { rangeOfRaw } from '../attributes/rights.ts';
import { pinnableOf, readLockCr } from '../control-registers/lock-cr.ts';
import { readPageList } from '../hypercall/read-page-list.ts';
import type { VmState } from '../vm-state.ts';
import type { OwnerPort } from './owner-port.ts';
import type { HekiPolicy } from './policy.ts';
import type { RightsTable } from './rights-table.ts';

/** What the owner makes of requests, the guest's and its own. The numbers are answers for RAX. */
export interface Requests {
  /** Hypercall 13. */
  lockCr(vcpu: Vcpu, cr: bigint, bits: bigint, flags: bigint): number;
  /** Hypercall 14. */
  protectMemory(list: bigint): number;
  endOfBoot(): number;
  /** Requests of the owner itself: they need no consent, and change immutable frames, too. */
  protect(ranges: readonly ProtectionRange[]): ProtectionResult;
  pin(request: PinRequest): PinResult;
  /** Whether boot has ended, so that the guest's requests are refused. */
  bootEnded: boolean;
}

export function createRequests<Machine>(options: {
  readonly vm: () => VmState;
  readonly port: OwnerPort;
  readonly rightsTable: RightsTable;
  readonly policy: HekiPolicy<Machine>;
  readonly machine: () => Machine;
}): Requests {
  const { port, rightsTable, policy } = options;

  /** Reports and counts the outcome for `sent` ranges. */
  function report(by: 'guest' | OwnerPort['by'], sent: number, result: ProtectionResult): ProtectionResult {
    const { ranges } = options.vm().statistics;
    ranges.sent += sent;
    ranges.applied += result.applied;
    ranges.refused += sent - result.applied;
    options.vm().emit?.({ type: 'protected', by, result });
    return result;
  }

  const refused = (at: number, why: Refusal): ProtectionResult => ({
    applied: 0,
    weakened: [],
    refused: { at, why },
  });

  const requests: Requests = {
    bootEnded: false,
    lockCr(vcpu, cr, pin, flags) {
      const vm = options.vm();
      const request = readLockCr(vm, vcpu, cr, pin, flags);
      if ('result' in request) return request.result;
      const { register, bits } = request;
      const { cr0, cr4 } = vm.pins;
      const asked = { cr0: register === 0 ? bits : 0n, cr4: register === 4 ? bits : 0n };
      if (requests.bootEnded || policy.pin?.(register, bits, options.machine()) === 'refuse') {
        const result: PinResult = { cr0, cr4, dropped: asked, refused: 'not-permitted' };
        vm.emit?.({ type: 'pinned', by: 'guest', result });
        return -KvmError.EPERM;
      }
      port.setPins(vm.pins.cr0 | asked.cr0, vm.pins.cr4 | asked.cr4);
      vm.emit?.({ type: 'pinned', by: 'guest', result: { ...vm.pins, dropped: { cr0: 0n, cr4: 0n } } });
      return 0;
    },
    protectMemory(list) {
      const vm = options.vm();
      const { ranges, ...reading } = readPageList(port.reader(), list);
      if (!reading.ok) {
        const why = reading.error === -KvmError.E2BIG ? 'too-much' : 'bad-request';
        report('guest', ranges.length, refused(-1, why));
        return reading.error;
      }
      const bad = firstFault(vm, ranges);
      if (bad !== undefined) {
        report('guest', ranges.length, refused(bad.at, bad.fault.why));
        return bad.fault.error;
      }
      const wanted = ranges.map(rangeOfRaw);
      const answer = requests.bootEnded ? 'refuse' : (policy.protect?.(wanted, options.machine()) ?? 'allow');
      if (answer === 'refuse') {
        report('guest', ranges.length, refused(-1, 'not-permitted'));
        return -KvmError.EPERM;
      }
      if (answer !== 'allow' && answer.length !== wanted.length) {
        throw new HypervisorError(
          `the policy amends ${wanted.length} ranges to ${answer.length}: expected one for each`,
        );
      }
      report('guest', ranges.length, rightsTable.apply(wanted, answer === 'allow' ? wanted : answer));
      return 0;
    },
    endOfBoot() {
      if (requests.bootEnded || policy.endOfBoot?.(options.machine()) === 'refuse') return -KvmError.EPERM;
      requests.bootEnded = true;
      return 0;
    },
    protect(ranges) {
      for (const [at, range] of ranges.entries()) {
        const why = rightsTable.check(range);
        if (why !== undefined) return report(port.by, ranges.length, refused(at, why));
      }
      return port.act(() => report(port.by, ranges.length, rightsTable.apply(ranges)));
    },
    pin(request) {
      const vm = options.vm();
      const { cr0, cr4, dropped } = pinnableOf(request);
      port.act(() => port.setPins(vm.pins.cr0 | cr0, vm.pins.cr4 | cr4));
      const result: PinResult = { ...vm.pins, dropped };
      vm.emit?.({ type: 'pinned', by: port.by, result });
      return result;
    },
  };
  return requests;
}
