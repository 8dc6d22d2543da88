import { KvmError } from '@heki/hypercall/kvm';
import type { Registers, Vcpu } from '@heki/vcpu';

/** What a driver needs of a virtual CPU. */
export type DriverVcpu = Pick<Vcpu, 'vmcall' | 'interruptContext'> & {
  readonly registers: Pick<Registers, 'rax' | 'rbx' | 'rcx' | 'rdx' | 'cr4'>;
};

/**
 * Executes VMCALL (VMMCALL on AMD) with KVM's register convention and gives the signed 64-bit result. The
 * other registers are as before, as for any kernel function. An instruction that does not complete, because no backend
 * answers it or the VM is stopped, gives -KVM_ENOSYS.
 */
export function kvmHypercall(vcpu: DriverVcpu, number: number, a0 = 0n, a1 = 0n, a2 = 0n): bigint {
  const { registers } = vcpu;
  const { rax, rbx, rcx, rdx } = registers;
  registers.rax = BigInt(number);
  registers.rbx = a0;
  registers.rcx = a1;
  registers.rdx = a2;
  const { kind } = vcpu.vmcall();
  const result = kind === 'done' ? BigInt.asIntN(64, registers.rax) : BigInt(-KvmError.ENOSYS);
  registers.rax = rax;
  registers.rbx = rbx;
  registers.rcx = rcx;
  registers.rdx = rdx;
  return result;
}
