import { PAGE_SIZE } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';

/** MSRs (SDM 4, table 2-2). */
const MSR = {
  APIC_BASE: 0x1b,
  SYSENTER_EIP: 0x176,
  EFER: 0xc000_0080,
  LSTAR: 0xc000_0082,
  GS_BASE: 0xc000_0101,
} as const;

function clears(
  cr: 0 | 4,
  bit: keyof typeof CR0 | keyof typeof CR4,
  gains: string,
  source: string,
): LabAttack {
  const mask = cr === 0 ? CR0[bit as keyof typeof CR0] : CR4[bit as keyof typeof CR4];
  return {
    name: `clear-${bit.toLowerCase()}`,
    title: `clear CR${cr}.${bit}`,
    gains,
    source,
    means: [],
    stoppedBy: ['cr-pins'],
    run({ aims, cpu, notExpressible }) {
      const before = cpu.readCr(cr).value ?? 0n;
      if ((before & mask) === 0n) notExpressible(`CR${cr}.${bit} is not set`);
      aims.register(`CR${cr}.${bit}`, () => (((cpu.readCr(cr).value ?? before) & mask) === 0n ? 0n : 1n));
      cpu.writeCr(cr, before & ~mask);
    },
  };
}

function writesMsr(
  name: string,
  msr: number,
  what: string,
  gains: string,
  value: (before: bigint) => bigint,
  stoppedBy: LabAttack['stoppedBy'] = ['register-locks'],
): LabAttack {
  return {
    name,
    title: `write ${what}`,
    gains,
    source: 'LVBS: the registers that its secure kernel locks',
    means: [],
    stoppedBy,
    run({ aims, cpu }) {
      const before = cpu.readMsr(msr).value ?? 0n;
      aims.register(what, () => cpu.readMsr(msr).value ?? before);
      cpu.writeMsr(msr, value(before));
    },
  };
}

/** Registers that decide what the kernel is held to. */
export const REGISTERS: readonly LabAttack[] = [
  clears(4, 'SMEP', 'the kernel can be made to run the code of a program', 'Heki v2 19/19, KUnit test 1'),
  clears(4, 'SMAP', 'the kernel takes its data from a program', 'Heki v2 3/19: SMAP is pinned'),
  clears(4, 'UMIP', 'programs learn where the tables of the kernel are', 'Heki v2 3/19: UMIP is pinned'),
  clears(
    0,
    'WP',
    'the kernel writes to what its page tables make read-only',
    'Heki v2 3/19: the pin is hollow (B-H13)',
  ),
  writesMsr(
    'set-lstar',
    MSR.LSTAR,
    'IA32_LSTAR',
    'every system call goes to the attacker',
    (before) => before + 16n,
  ),
  writesMsr(
    'set-sysenter-eip',
    MSR.SYSENTER_EIP,
    'IA32_SYSENTER_EIP',
    'system calls of 32-bit programs go to the attacker',
    (before) => before + 16n,
  ),
  writesMsr(
    'move-apic',
    MSR.APIC_BASE,
    'IA32_APIC_BASE',
    "the registers of the local APIC lie over a page of the attacker's choice",
    (before) => before + BigInt(PAGE_SIZE),
  ),
  writesMsr(
    'set-gs-base',
    MSR.GS_BASE,
    'IA32_GS_BASE',
    'the per-CPU data of the kernel are those of the attacker',
    (before) => before + BigInt(PAGE_SIZE),
    [],
  ),
  writesMsr(
    'clear-nxe',
    MSR.EFER,
    'EFER.NXE',
    'nothing is kept from being executed',
    (before) => before & ~EFER.NXE,
  ),
  {
    name: 'load-idt',
    title: 'LIDT of a table of the attacker',
    gains: 'exceptions go to the attacker',
    source: 'LVBS: IDTR is locked',
    means: [],
    stoppedBy: ['register-locks'],
    run({ aims, cpu, registers, page }) {
      const table = page();
      aims.register('IDTR', () => BigInt.asUintN(64, registers.idtr?.base ?? 0n));
      cpu.loadTable('idtr', table);
    },
  },
  {
    name: 'load-gdt',
    title: 'LGDT of a table of the attacker',
    gains: 'segments and call gates are those of the attacker',
    source: 'LVBS: GDTR is locked',
    means: [],
    stoppedBy: ['register-locks'],
    run({ aims, cpu, registers, page }) {
      const table = page();
      aims.register('GDTR', () => BigInt.asUintN(64, registers.gdtr.base));
      cpu.loadTable('gdtr', table);
    },
  },
];
