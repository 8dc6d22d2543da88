import { addressOf, type VirtualAddress } from '@heki/physical-memory';
import { CR4, EFER } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { PAYLOAD } from '../kernel/functions.ts';
import { executable, offset, writable } from './stores.ts';

const RUNS_CODE = 'code of the attacker runs as the kernel';
/** IA32_EFER (SDM 4, table 2-2). */
export const MSR_EFER = 0xc000_0080;

/** Starts the second processor and takes it to long mode on the kernel's page tables, with the bits of CR4 that `cr4` leaves. */
function startProcessor({ init, second, registers }: Lab, cr4: (kernels: bigint) => bigint): void {
  init();
  // PCIDE is set in long mode only (SDM 3A 2.5).
  second.writeCr(4, cr4(registers.cr4) & ~CR4.PCIDE);
  second.writeCr(3, registers.cr3);
  second.writeMsr(MSR_EFER, registers.efer & ~EFER.LMA);
  second.writeCr(0, registers.cr0);
}

const withoutSmep = (cr4: bigint): bigint => cr4 & ~CR4.SMEP;

/** Attacks that leave the mode in which the kernel is held to what is pinned and withheld: a processor that starts, a guest of one's own, the emulator. */
export const MODES: readonly LabAttack[] = [
  {
    name: 'start-processor-without-pins',
    title: 'INIT for the second processor, then long mode without SMEP and WP',
    gains: 'one processor runs without what is pinned',
    source: 'S. Christopherson on Heki v1: INIT, RESET, SMM (B-H14)',
    means: ['second processor'],
    // The contract says so: after INIT a pin lets its processor start.
    stoppedBy: [],
    run(lab) {
      const vcpu = lab.machine.vcpus[1];
      lab.aims.register('CR4.SMEP of a processor in long mode', () => {
        const registers = vcpu?.registers;
        if (registers === undefined || (registers.efer & EFER.LMA) === 0n) return 1n;
        return (registers.cr4 & CR4.SMEP) === 0n ? 0n : 1n;
      });
      startProcessor(lab, withoutSmep);
    },
  },
  {
    name: 'execute-user-page-after-init',
    title: 'INIT for the second processor, long mode without SMEP, call a page of a user program',
    gains: RUNS_CODE,
    source: 'MBEC goes by the user bit of the walk, not by the privilege level (SDM 3C 29.3.3.2)',
    means: ['second processor', 'user program'],
    stoppedBy: ['execute-by-privilege'],
    run(lab) {
      const page = lab.page();
      const mapped = lab.userMapping(lab.frameOf(page));
      lab.aims.code();
      lab.plant(page);
      startProcessor(lab, withoutSmep);
      lab.second.run(mapped);
    },
  },
  {
    name: 'execute-data-unpaged',
    title: 'INIT for the second processor, run a page of data before it turns paging on',
    gains: RUNS_CODE,
    source: 'every linear address is a user-mode address to MBEC as long as CR0.PG is 0 (SDM 3C 29.3.3.2)',
    means: ['second processor'],
    stoppedBy: ['execute-by-privilege'],
    run(lab) {
      const page = lab.page();
      lab.aims.code();
      lab.plant(page);
      lab.init();
      lab.second.run(BigInt(addressOf(lab.frameOf(page))) as VirtualAddress);
    },
  },
  {
    name: 'execute-text-unpaged',
    title: 'INIT for the second processor, run kernel text at its physical address before it turns paging on',
    gains:
      'code of the kernel runs where no page table is walked, and so neither HLAT nor guest-paging verification is there',
    source: 'SDM 3C 29.3: HLAT paging and verification are of linear addresses, and need paging',
    means: ['second processor'],
    stoppedBy: [],
    run(lab) {
      const { check } = lab.places;
      const there = BigInt(addressOf(lab.frameOf(check)) + Number(check % 4096n)) as VirtualAddress;
      lab.aims.reached('security_capable, at its physical address,', there);
      lab.init();
      lab.second.run(there);
    },
  },
  {
    name: 'execute-text-elsewhere-and-ask',
    title: 'map kernel text as code in the direct map, ask for the rights that its frame has, run it there',
    gains: 'what that code calls, relative to itself, is what the attacker has put there',
    source:
      'an owner of translations that believes a mapping because its frame is approved: SecVisor retrospective (CyLab 2008)',
    means: ['hypercalls'],
    stoppedBy: ['hlat'],
    run(lab) {
      const { check } = lab.places;
      const frame = lab.frameOf(check);
      const there = offset(lab.direct(frame), Number(check % 4096n));
      lab.aims.reached('security_capable, in the direct map,', there);
      for (const rights of ['r--', 'r-x'] as const) {
        lab.edit(there, executable);
        lab.cpu.ask(frame, 1, rights);
      }
      lab.edit(there, executable);
      lab.cpu.run(there);
    },
  },
  {
    name: 'leave-guest-without-smep',
    title: "enter a guest of one's own (VMXON, VMRUN) whose exit loads CR4 without SMEP",
    gains: 'the pin is passed by: no MOV to CR4 is executed',
    source: 'Heki v2 11/19 and 3/19; vmx.c, load_vmcs12_host_state (B-NESTED)',
    means: [],
    stoppedBy: ['cr-pins'],
    run(lab) {
      const { cr4 } = lab.registers;
      lab.aims.register('CR4.SMEP', () => (lab.cpu.readCr(4).value ?? cr4) & CR4.SMEP);
      lab.nestedGuest(() => {}, { cr4: withoutSmep(cr4) });
    },
  },
  {
    name: 'store-text-from-guest',
    title:
      "enter a guest of one's own (VMXON, VMRUN) whose second-level tables allow all, store to kernel text there",
    gains: 'a function of the kernel is replaced',
    source:
      'Heki v2 11/19; KVM, MBEC for nested guests (v6, May 2026): rights of both levels are to be intersected',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.edit(check, writable);
      lab.nestedGuest(() => lab.plant(check));
    },
  },
  {
    name: 'execute-data-in-guest',
    title: "enter a guest of one's own whose second-level tables allow all, execute a page of data there",
    gains: 'code of the attacker runs with the kernel mapped, where mode-based execute control is off',
    source: 'Heki v2 5/19 and 11/19: vmcs02 clears MBEC (B-NESTED)',
    means: [],
    stoppedBy: ['execute'],
    run(lab) {
      const page = lab.page();
      lab.aims.code();
      lab.plant(page);
      lab.edit(page, executable);
      lab.nestedGuest(() => lab.cpu.run(page));
    },
  },
  {
    name: 'resume-without-smep',
    title: 'have firmware clear CR4.SMEP in the state save area of an SMI, and resume (RSM)',
    gains: 'the pin is passed by: no MOV to CR is executed',
    source: 'S. Christopherson on Heki v1: INIT, RESET, SMM (B-H14); KVM, rsm_load_state_64',
    means: ['firmware'],
    stoppedBy: ['cr-pins'],
    run(lab) {
      const { cr4 } = lab.registers;
      lab.aims.register('CR4.SMEP', () => (lab.cpu.readCr(4).value ?? cr4) & CR4.SMEP);
      lab.resumeFromSmm({ cr4: withoutSmep(cr4) });
    },
  },
  {
    name: 'clear-smep-emulated',
    title: 'have the hypervisor emulate the MOV that clears CR4.SMEP',
    gains: 'the kernel can be made to run the code of a program',
    source: 'KVM, em_cr_write: the second way to a control register; openvmm 1536',
    means: [],
    stoppedBy: ['cr-pins'],
    run(lab) {
      const { cr4 } = lab.registers;
      lab.aims.register('CR4.SMEP', () => (lab.cpu.readCr(4).value ?? cr4) & CR4.SMEP);
      lab.emulatedMovToCr(4, withoutSmep(cr4));
    },
  },
];
