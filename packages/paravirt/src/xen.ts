import { CR0_PIN_REQUIRED, CR4_PINNED_MASK } from '@heki/hypercall/kvm';
import { HvmOp, XEN_HEKI_VERSION, XenError, XenHekiRequest, XenHypercall } from '@heki/hypercall/xen';
import type { Registers, Vcpu } from '@heki/vcpu';
import type { HekiPort } from './kvm.ts';

/** What the driver for Xen needs of a virtual CPU. */
export type XenDriverVcpu = Pick<Vcpu, 'vmcall' | 'interruptContext'> & {
  readonly registers: Pick<Registers, 'rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'cr4'>;
};

/** What the driver for Xen runs on. */
export interface XenDriverOptions {
  /** The virtual CPU that executes the hypercalls; asked for each. */
  readonly vcpu: () => XenDriverVcpu;
  /** Hears of the warning about requests in interrupt context, where a virtual CPU waits for another domain, once. */
  readonly onWarning?: (text: string) => void;
}

/**
 * HVMOP_guest_request_vm_event with a request for the monitor in RBX and its arguments in RCX and RDX; the signed
 * answer from RAX. The other registers are as before. Without a monitor, or when the domain ended, -ENOSYS.
 */
function askMonitor(vcpu: XenDriverVcpu, request: bigint, first = 0n, second = 0n): number {
  const { registers } = vcpu;
  const { rax, rbx, rcx, rdx, rsi, rdi } = registers;
  Object.assign(registers, {
    rax: BigInt(XenHypercall.HVM_OP),
    rdi: BigInt(HvmOp.GUEST_REQUEST_VM_EVENT),
    rsi: 0n,
    rbx: request,
    rcx: first,
    rdx: second,
  });
  const { kind } = vcpu.vmcall();
  const result = kind === 'done' ? BigInt.asIntN(32, registers.rax) : BigInt(-XenError.ENOSYS);
  Object.assign(registers, { rax, rbx, rcx, rdx, rsi, rdi });
  return Number(result);
}

/**
 * `init_heki` for Xen, a design of this project (the series has a driver for KVM only): asks the monitor behind
 * GUEST_REQUEST for its version and, if it has one, fills `guest.hypervisor`. Whether it did. *Unjudged.*
 */
export function initHekiOnXen(guest: HekiPort, options: XenDriverOptions): boolean {
  const { vcpu, onWarning } = options;
  if (askMonitor(vcpu(), XenHekiRequest.VERSION) < XEN_HEKI_VERSION) return false;
  let warned = false;
  guest.hypervisor = {
    lockCrs() {
      const cpu = vcpu();
      const result = askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, 0n, CR0_PIN_REQUIRED);
      const cr4 = cpu.registers.cr4 & CR4_PINNED_MASK;
      if (result !== 0 || cr4 === 0n) return result;
      return askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, 4n, cr4);
    },
    protectMemory(list) {
      const cpu = vcpu();
      if (cpu.interruptContext && !warned) {
        warned = true;
        onWarning?.('WARNING: xen_protect_memory called in interrupt context');
      }
      return askMonitor(cpu, XenHekiRequest.PROTECT_MEMORY, BigInt(list));
    },
  };
  return true;
}
