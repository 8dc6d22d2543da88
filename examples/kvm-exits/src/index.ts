// A VMM that hears what Heki does in its guest: KVM_EXIT_HEKI_CONFIGURE (39) and KVM_EXIT_HEKI_DENIAL (40).
import {
  decodeHekiExit,
  KVM_ABI_REVISIONS,
  KVM_HEKI_EXIT_REASON_CR4,
  KvmHypercall,
} from '@heki/hypercall/kvm';
import { createKvm } from '@heki/kvm';
import { createFrameAllocator, createRam, type Pfn, pfn } from '@heki/physical-memory';
import { bitNames, CR0_BITS, CR4, CR4_BITS, pagingRegisters } from '@heki/x86';

const { exits, capabilities } = KVM_ABI_REVISIONS['heki-v2'];

// The loop around KVM_RUN: the guest has left, `kvm_run` says why.
const kvm = createKvm({
  abi: 'heki-v2',
  vmm: {
    onExit(exit) {
      if (exit.reason === 'mmio') return;
      const { reason, value } = decodeHekiExit(exit.payload);
      const cr4 = reason === BigInt(KVM_HEKI_EXIT_REASON_CR4);
      const bytes = Buffer.from(exit.payload.subarray(0, 16)).toString('hex');
      const bits = bitNames(cr4 ? CR4_BITS : CR0_BITS, value).join(' ');
      const what = exit.number === exits.HEKI_CONFIGURE ? 'pinned now' : 'refused value';
      console.log(`VMM: exit ${exit.number}, payload ${bytes}...: ${cr4 ? 'CR4' : 'CR0'}, ${what}: ${bits}`);
    },
  },
});

// A virtual machine. Both exits are off until the VMM enables their capabilities, for the registers of a mask.
const tables = { start: pfn(0), end: pfn(0x10) };
const vm = kvm.createVirtualMachine({
  host: {
    memory: createRam<Pfn>({ ranges: [tables] }),
    frames: createFrameAllocator<Pfn>({ ranges: [tables] }),
  },
});
for (const capability of [capabilities.HEKI_CONFIGURE, capabilities.HEKI_DENIAL]) {
  const registers = vm.ioctls.checkExtension(capability);
  const result = vm.ioctls.enableCapability(capability, BigInt(registers));
  console.log(`VMM: capability ${capability} offers mask ${registers}; enabled: ${result}`);
}

// The guest: a kernel that pins CR4.SMEP and SMAP, and an attacker in it who wants SMEP gone.
const cr4 = CR4.PAE | CR4.SMEP | CR4.SMAP;
const cpu = vm.createVcpu({ registers: { ...pagingRegisters({ cr4 }), codeSegment64: true } });
Object.assign(cpu.registers, {
  rax: BigInt(KvmHypercall.LOCK_CR_UPDATE),
  rbx: 4n,
  rcx: CR4.SMEP | CR4.SMAP,
  rdx: 0n,
});
cpu.vmcall();
console.log(`guest: hypercall 13 answers ${cpu.registers.rax}`);

const outcome = cpu.movToCr(4, cr4 & ~CR4.SMEP);
if (outcome.kind === 'exception') console.log(`guest: MOV to CR4 ends in exception ${outcome.vector}`);
console.log(`guest: CR4 is ${bitNames(CR4_BITS, cpu.registers.cr4).join(' ')}`);
