import type { HekiGuest } from '@heki/guest';
import {
  CR0_PIN_REQUIRED,
  CR4_PINNED_MASK,
  HEKI_ABI_VERSION,
  KvmError,
  KvmHypercall,
  LOCK_CR_UPDATE_VERSION,
} from '@heki/hypercall/kvm';
import type { Vcpu } from '@heki/vcpu';

/** What the KVM driver runs on. */
export interface KvmDriverOptions {
  /** The virtual CPU that executes the hypercalls; asked for each, because the kernel may run on any. */
  readonly vcpu: () => Vcpu;
  /** Hears of the warning about hypercalls in interrupt context, once. */
  readonly onWarning?: (text: string) => void;
}

/**
 * Executes VMCALL with KVM's register convention and gives the result as a signed number. The other registers are as
 * before, as for any kernel function. A virtual CPU on which the instruction does not complete (nobody answers it, or the
 * VM is stopped) gives -KVM_ENOSYS.
 */
function hypercall(vcpu: Vcpu, number: number, ...[a0 = 0n, a1 = 0n, a2 = 0n]: readonly bigint[]): number {
  const { registers } = vcpu;
  const { rax, rbx, rcx, rdx } = registers;
  registers.rax = BigInt(number);
  registers.rbx = a0;
  registers.rcx = a1;
  registers.rdx = a2;
  const { kind } = vcpu.vmcall();
  const result = kind === 'done' ? Number(BigInt.asIntN(64, registers.rax)) : -KvmError.ENOSYS;
  registers.rax = rax;
  registers.rbx = rbx;
  registers.rcx = rcx;
  registers.rdx = rdx;
  return result;
}

/**
 * `init_heki` of KVM (Heki v2 4/19): asks the hypervisor under the virtual CPU for the version of hypercall 13 and, if
 * it has one, fills `guest.hypervisor`. Whether it did.
 */
export function initHekiOnKvm(guest: HekiGuest, { vcpu, onWarning }: KvmDriverOptions): boolean {
  const version = hypercall(vcpu(), KvmHypercall.LOCK_CR_UPDATE, 0n, 0n, BigInt(LOCK_CR_UPDATE_VERSION));
  if (version < HEKI_ABI_VERSION) return false;

  let warned = false;
  guest.hypervisor = {
    // kvm_lock_crs (Heki v2 4/19). CR4 is the one of the CPU that runs this; the others are not compared.
    lockCrs() {
      const cpu = vcpu();
      const result = hypercall(cpu, KvmHypercall.LOCK_CR_UPDATE, 0n, CR0_PIN_REQUIRED);
      if (result !== 0) return result;
      return hypercall(cpu, KvmHypercall.LOCK_CR_UPDATE, 4n, cpu.registers.cr4 & CR4_PINNED_MASK);
    },
    // kvm_protect_memory (Heki v2 18/19): the long result becomes an int.
    protectMemory(list) {
      const cpu = vcpu();
      if (cpu.interruptContext && !warned) {
        warned = true;
        onWarning?.('WARNING: kvm_protect_memory called in interrupt context');
      }
      return hypercall(cpu, KvmHypercall.PROTECT_MEMORY, BigInt(list)) | 0;
    },
  };
  return true;
}
