import { HvCall } from '@heki/hypercall/hyperv';
import type { Vcpu } from '@heki/vcpu';

/** A VTL call: the answer of the secure kernel as a signed number, `undefined` when there was none. */
export function vtlCall(vcpu: Vcpu, fn: number, first = 0n, second = 0n, third = 0n): bigint | undefined {
  Object.assign(vcpu.registers, {
    rcx: BigInt(HvCall.VTL_CALL),
    rdi: BigInt(fn),
    rsi: first,
    rdx: second,
    r8: third,
  });
  return vcpu.vmcall().kind === 'done' ? BigInt.asIntN(64, vcpu.registers.r8) : undefined;
}
