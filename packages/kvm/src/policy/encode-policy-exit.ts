import {
  encodeHekiExit,
  encodeHypercallExit,
  encodeMemoryFaultExit,
  KVM_EXIT_HYPERCALL_LONG_MODE,
  KVM_HEKI_EXIT_REASON_CR0,
  KVM_HEKI_EXIT_REASON_CR4,
  KvmMemoryExitFlag,
} from '@heki/hypercall/kvm';
import { addressOf, frameOf, PAGE_SIZE } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { is64BitMode } from '../hypercall/hypercall.ts';
import type { GuestFault } from '../mmu/page-fault.ts';
import type { VmState } from '../vm-state.ts';
import type { PolicyExit } from './policy-exit.ts';

/** KVM_EXIT_HYPERCALL. */
const EXIT_HYPERCALL = 3;

export function hypercallExit(
  vcpu: Vcpu,
  call: bigint,
  ...args: readonly [bigint, bigint, bigint]
): PolicyExit {
  const flags = is64BitMode(vcpu) ? BigInt(KVM_EXIT_HYPERCALL_LONG_MODE) : 0n;
  const payload = encodeHypercallExit({ number: call, arguments: args, flags });
  return { reason: 'hypercall', number: EXIT_HYPERCALL, call, arguments: args, payload };
}

export function memoryFaultExit(
  vm: VmState,
  fault: GuestFault,
): PolicyExit & { readonly reason: 'memory-fault' } {
  const flags = fault.fetch
    ? KvmMemoryExitFlag.EXEC
    : fault.write
      ? KvmMemoryExitFlag.WRITE
      : KvmMemoryExitFlag.READ;
  const gpa = addressOf(frameOf(fault.gpa));
  const payload = encodeMemoryFaultExit({ flags: BigInt(flags), gpa: BigInt(gpa), size: BigInt(PAGE_SIZE) });
  const number = vm.options.abi.exits.MEMORY_FAULT;
  return { reason: 'memory-fault', number, flags, gpa, size: PAGE_SIZE, payload };
}

export function registerWriteExit(vm: VmState, cr: 0 | 4, value: bigint): PolicyExit {
  const reason = BigInt(cr === 0 ? KVM_HEKI_EXIT_REASON_CR0 : KVM_HEKI_EXIT_REASON_CR4);
  const number = vm.options.abi.exits.HEKI_DENIAL ?? 0;
  return { reason: 'register-write', number, cr, value, payload: encodeHekiExit({ reason, value }) };
}
