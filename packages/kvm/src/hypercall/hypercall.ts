import { KvmError, KvmHypercall } from '@heki/hypercall/kvm';
import type { Vcpu } from '@heki/vcpu';
import { EFER } from '@heki/x86';
import { lockCr } from '../control-registers/lock-cr.ts';
import type { UserExit } from '../exit/vmm.ts';
import type { VmState } from '../vm-state.ts';
import { pairClock } from './clock-pairing.ts';
import { protectMemory } from './protect-memory.ts';

const LOW_32 = 0xffff_ffffn;

/** The result of a hypercall, already in RAX, and the exit to the VMM that comes before the guest goes on. */
export interface HypercallOutcome {
  readonly userExit: UserExit | undefined;
}

/**
 * kvm_emulate_hypercall(): number in RAX, arguments in RBX, RCX, RDX and RSI, result in RAX, nothing else changes. Outside
 * 64-bit mode all of them are cut to 32 bits; above CPL 0 nothing is carried out (Linux Documentation/virt/kvm/x86/hypercalls.rst).
 */
export function handleHypercall(vm: VmState, vcpu: Vcpu): HypercallOutcome {
  const { registers } = vcpu;
  const wide = registers.codeSegment64 && (registers.efer & EFER.LMA) !== 0n;
  const cut = (value: bigint): bigint => (wide ? value : value & LOW_32);
  const number = cut(registers.rax);
  const a0 = cut(registers.rbx);
  const a1 = cut(registers.rcx);
  const a2 = cut(registers.rdx);
  const a3 = cut(registers.rsi);

  let result: number = -KvmError.ENOSYS;
  let userExit: UserExit | undefined;
  if (registers.cpl !== 0) {
    result = -KvmError.EPERM;
  } else {
    switch (number) {
      case BigInt(KvmHypercall.VAPIC_POLL):
        result = 0;
        break;
      case BigInt(KvmHypercall.CLOCK_PAIRING):
        result = pairClock(vm, a0, a1);
        break;
      case BigInt(KvmHypercall.LOCK_CR_UPDATE):
        ({ result, userExit } = lockCr(vm, vcpu, a0, a1, a2));
        break;
      case BigInt(KvmHypercall.PROTECT_MEMORY):
        result = protectMemory(vm, a0);
        break;
    }
  }
  const rax = BigInt.asUintN(wide ? 64 : 32, BigInt(result));
  registers.rax = rax;
  // A guest can make up numbers without end: those that nobody has are counted together.
  const counted = number < 64n ? Number(number) : Number.POSITIVE_INFINITY;
  const { hypercalls } = vm.statistics;
  hypercalls.set(counted, (hypercalls.get(counted) ?? 0) + 1);
  vm.emit?.({ type: 'hypercall', vcpu: vcpu.id, number, arguments: [a0, a1, a2, a3], result: rax });
  return { userExit };
}
