import {
  encodeHekiExit,
  encodeHypercallExit,
  encodeMemoryFaultExit,
  KVM_EXIT_HYPERCALL_LONG_MODE,
  KVM_HEKI_EXIT_REASON_CR0,
  KVM_HEKI_EXIT_REASON_CR4,
  KvmMemoryExitFlag,
} from '@heki/hypercall/kvm';
import { addressOf, frameOf, type Gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { is64BitMode } from '../hypercall/hypercall.ts';
import type { GuestFault } from '../mmu/page-fault.ts';
import type { VmState } from '../vm-state.ts';

/** KVM_EXIT_HYPERCALL. */
const EXIT_HYPERCALL = 3;

/** An exit of KVM_RUN that the guest does not go on from until the VMM has decided. `payload`: the bytes of `kvm_run` from byte 32 on. */
export type PolicyExit =
  | {
      /** KVM_EXIT_HYPERCALL: a request of the guest. */
      readonly reason: 'hypercall';
      readonly number: number;
      readonly call: bigint;
      readonly arguments: readonly [bigint, bigint, bigint];
      readonly payload: Uint8Array;
    }
  | {
      /** KVM_EXIT_MEMORY_FAULT: the attributes forbid an access. Neither the linear address nor whose code it was is told. */
      readonly reason: 'memory-fault';
      readonly number: number;
      /** {@link KvmMemoryExitFlag} bits. */
      readonly flags: number;
      /** The page: its low 12 bits are 0. */
      readonly gpa: Gpa;
      readonly size: number;
      readonly payload: Uint8Array;
    }
  | {
      /** A MOV to a control register that would clear a pinned bit; numbered and laid out as KVM_EXIT_HEKI_DENIAL, but not yet refused. */
      readonly reason: 'register-write';
      readonly number: number;
      readonly cr: 0 | 4;
      readonly value: bigint;
      readonly payload: Uint8Array;
    };

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
