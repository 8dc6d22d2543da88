import { KvmError, KvmHypercall } from '@heki/hypercall/kvm';
import type { ExitAction, Vcpu } from '@heki/vcpu';
import { EFER } from '@heki/x86';
import type { Handled } from '../exit/handled.ts';
import type { HypercallAnswer } from '../owner.ts';
import type { VmState } from '../vm-state.ts';
import { pairClock } from './clock-pairing.ts';

const LOW_32 = 0xffff_ffffn;

/** is_64_bit_hypercall(). */
export function is64BitMode({ registers }: Vcpu): boolean {
  return registers.codeSegment64 && (registers.efer & EFER.LMA) !== 0n;
}

/**
 * kvm_emulate_hypercall(): number in RAX, arguments in RBX, RCX, RDX and RSI, result in RAX, nothing else changes. Outside
 * 64-bit mode all of them are cut to 32 bits; above CPL 0 nothing is carried out (Linux Documentation/virt/kvm/x86/hypercalls.rst).
 */
export function handleHypercall(vm: VmState, vcpu: Vcpu): Handled {
  const { registers } = vcpu;
  const wide = is64BitMode(vcpu);
  const cut = (value: bigint): bigint => (wide ? value : value & LOW_32);
  const number = cut(registers.rax);
  const a0 = cut(registers.rbx);
  const a1 = cut(registers.rcx);
  const a2 = cut(registers.rdx);
  const a3 = cut(registers.rsi);

  const finish = (result: number): ExitAction => {
    const rax = BigInt.asUintN(wide ? 64 : 32, BigInt(result));
    registers.rax = rax;
    // A guest can make up numbers without end: unknown ones are counted together.
    const counted = number < 64n ? Number(number) : Number.POSITIVE_INFINITY;
    const { hypercalls } = vm.statistics;
    hypercalls.set(counted, (hypercalls.get(counted) ?? 0) + 1);
    vm.emit?.({ type: 'hypercall', vcpu: vcpu.id, number, arguments: [a0, a1, a2, a3], result: rax });
    return { kind: 'skip' };
  };
  const answer = registers.cpl === 0 ? call(vm, vcpu, number, a0, a1, a2) : { result: -KvmError.EPERM };
  if ('inUserSpace' in answer) return { inUserSpace: () => finish(answer.inUserSpace()) };
  return { action: finish(answer.result), userExit: answer.userExit };
}

function call(vm: VmState, vcpu: Vcpu, number: bigint, a0: bigint, a1: bigint, a2: bigint): HypercallAnswer {
  switch (number) {
    case BigInt(KvmHypercall.VAPIC_POLL):
      return { result: 0 };
    case BigInt(KvmHypercall.CLOCK_PAIRING):
      return { result: pairClock(vm, a0, a1) };
    default:
      return vm.owner.hypercall(vcpu, number, a0, a1, a2) ?? { result: -KvmError.ENOSYS };
  }
}
