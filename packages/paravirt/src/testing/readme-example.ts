import { hypercallResultText } from '@heki/hypercall/kvm';
import { type DriverVcpu, type HekiPort, initHekiOnKvm } from '@heki/paravirt';
import { gpa } from '@heki/physical-memory';

// A virtual CPU of @heki/vcpu fits here; this one only shows what the hypervisor sees, and refuses hypercall 14.
const registers = { rax: 0n, rbx: 0n, rcx: 0n, rdx: 0n, cr4: 0x370ef0n };
const vcpu: DriverVcpu = {
  registers,
  interruptContext: false,
  vmcall() {
    const { rax, rbx, rcx, rdx } = registers;
    console.log(`hypercall ${rax}: ${rbx.toString(16)}, ${rcx.toString(16)}, ${rdx.toString(16)}`);
    registers.rax = rax === 14n ? -1n : rdx;
    return { kind: 'done', value: undefined };
  },
};

const guest: HekiPort = { hypervisor: undefined }; // that of a core: createHekiGuest()
console.log(initHekiOnKvm(guest, { vcpu: () => vcpu }));
console.log(guest.hypervisor?.lockCrs());
console.log(hypercallResultText(guest.hypervisor?.protectMemory(gpa(0x5000)) ?? 0));
