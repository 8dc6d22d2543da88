import { AMD_ZEN4, CR4, EFER, INTEL_SKYLAKE, INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { machine, PTE, va } from '../testing/machine.ts';

const DONE = { kind: 'done', value: undefined };
const raised = (vector: number) => ({ kind: 'exception', vector, errorCode: 0, fixedUp: false });

/** SDM 2A, INVPCID, "64-Bit Mode Exceptions", line by line. */
function invpcidSlowly(type: number, pcid: number, canonical: boolean, cpl: number, pcide: boolean): boolean {
  if (cpl !== 0) return false;
  if (type > 3) return false;
  if (pcid >= 2 ** 12) return false;
  if (type === 0 && !canonical) return false;
  if (!pcide && pcid !== 0 && (type === 0 || type === 1)) return false;
  return true;
}

test('INVPCID refuses what the manual has it refuse for each type', () => {
  for (const cpl of [0, 3] as const) {
    for (const pcide of [false, true]) {
      for (let type = 0; type < 6; type++) {
        for (const pcid of [0, 1, 0xfff, 0x1000]) {
          for (const address of [0n, 1n << 60n]) {
            const { cpu } = machine({ changes: { cpl } });
            if (pcide) cpu.registers.cr4 |= CR4.PCIDE;
            const taken = invpcidSlowly(type, pcid, address === 0n, cpl, pcide);
            expect([cpl, pcide, type, pcid, address, cpu.invpcid(type, pcid, va(address))]).toEqual([
              cpl,
              pcide,
              type,
              pcid,
              address,
              taken ? DONE : raised(13),
            ]);
          }
        }
      }
    }
  }
});

test('INVPCID is undefined on a processor without PCIDs, whatever else is wrong', () => {
  const processor = { ...INTEL_VT_RP, cr4: INTEL_VT_RP.cr4 & ~CR4.PCIDE };
  const { cpu } = machine({ processor, changes: { cpl: 3 } });
  expect(cpu.invpcid(9, 0x1000, va(1n << 60n))).toEqual(raised(6));
});

const WIDE = 1n << 50n;
const NOWHERE = 1n << 60n;
const ANY = (1n << 64n) - 1n;
const HIGH = 0x1_0000_0000n;
const LOW = 0xffff_ffffn;

/** What is written, and what is read then; `undefined`: #GP(0). */
type Case = readonly [written: bigint, read: bigint | undefined];
const takesAll: Case[] = [
  [0n, 0n],
  [ANY, ANY],
];
const low32: Case[] = [
  [LOW, LOW],
  [HIGH, undefined],
  [ANY, undefined],
];
const dropsHigh: Case[] = [
  [LOW, LOW],
  [HIGH, 0n],
  [ANY, LOW],
];
const canonical: Case[] = [
  [0n, 0n],
  [WIDE, WIDE],
  [ANY, ANY],
  [NOWHERE, undefined],
  [1n << 63n, undefined],
];
const memoryTypes: Case[] = [
  [0x0706_0504_0100_0000n, 0x0706_0504_0100_0000n],
  [0x0007_0106_0007_0406n, 0x0007_0106_0007_0406n],
  ...[0n, 1n, 4n, 5n, 6n, 7n].map((type): Case => [type << 56n, type << 56n]),
  ...[2n, 3n, 8n, 0x80n].flatMap((type): Case[] => [
    [type, undefined],
    [type << 56n, undefined],
  ]),
];
/** From an APIC that is enabled, as after RESET. */
const apicBase: Case[] = [
  ...[...Array.from({ length: 8 }, (_, bit) => bit), 9, 48, 63].map(
    (bit): Case => [0xfee0_0800n | (1n << BigInt(bit)), undefined],
  ),
  // BSP, and another address.
  [0xfee0_0900n, 0xfee0_0900n],
  [0x3fff_fee0_0800n, 0x3fff_fee0_0800n],
  // EXTD without EN is no mode; x2APIC mode is entered from xAPIC mode alone, and left by disabling the APIC.
  [0xfee0_0400n, undefined],
  [0xfee0_0c00n, 0xfee0_0c00n],
  [0xfee0_0800n, undefined],
  [0xfee0_0000n, 0xfee0_0000n],
  [0xfee0_0c00n, undefined],
  [0xfee0_0800n, 0xfee0_0800n],
];

test.each([
  ['IA32_APIC_BASE', 0x1b, apicBase, apicBase],
  ['IA32_SPEC_CTRL', 0x48, low32, low32],
  ['IA32_SYSENTER_CS', 0x174, dropsHigh, dropsHigh],
  ['IA32_SYSENTER_ESP', 0x175, canonical, dropsHigh],
  ['IA32_SYSENTER_EIP', 0x176, canonical, dropsHigh],
  ['IA32_MISC_ENABLE', 0x1a0, takesAll, takesAll],
  ['IA32_DEBUGCTL', 0x1d9, low32, low32],
  ['IA32_PAT', 0x277, memoryTypes, memoryTypes],
  ['IA32_STAR', 0xc000_0081, takesAll, takesAll],
  ['IA32_LSTAR', 0xc000_0082, canonical, canonical],
  ['IA32_CSTAR', 0xc000_0083, canonical, canonical],
  ['IA32_FMASK', 0xc000_0084, low32, low32],
  ['IA32_FS_BASE', 0xc000_0100, canonical, canonical],
  ['IA32_GS_BASE', 0xc000_0101, canonical, canonical],
  ['IA32_KERNEL_GS_BASE', 0xc000_0102, canonical, canonical],
  ['IA32_TSC_AUX', 0xc000_0103, low32, dropsHigh],
] as const)('%s takes and gives back what the processor of each vendor does', (_, msr, intel, amd) => {
  for (const [processor, cases] of [
    [INTEL_VT_RP, intel],
    [AMD_ZEN4, amd],
  ] as const) {
    const { cpu } = machine({ processor });
    for (const [written, read] of cases) {
      const before = cpu.rdmsr(msr);
      const outcome = cpu.wrmsr(msr, written);
      expect([written, outcome]).toEqual([written, read === undefined ? raised(13) : DONE]);
      expect([written, cpu.rdmsr(msr)]).toEqual([
        written,
        read === undefined ? before : { kind: 'done', value: read },
      ]);
    }
  }
});

test('WRMSR and RDMSR are for CPL 0, and leave their operands in registers', () => {
  const { cpu } = machine();
  expect(cpu.wrmsr(0xc000_0082, 0xffff_ffff_8100_0000n)).toEqual(DONE);
  expect(cpu.registers).toMatchObject({ rcx: 0xc000_0082n, rax: 0x8100_0000n, rdx: LOW });
  Object.assign(cpu.registers, { rax: ANY, rdx: ANY });
  expect(cpu.rdmsr(0xc000_0080)).toEqual({ kind: 'done', value: cpu.registers.efer });
  expect(cpu.registers).toMatchObject({ rcx: 0xc000_0080n, rax: cpu.registers.efer, rdx: 0n });
  cpu.registers.cpl = 3;
  expect(cpu.wrmsr(0xc000_0082, 0n)).toEqual(raised(13));
  expect(cpu.rdmsr(0xc000_0082)).toEqual(raised(13));
  expect(cpu.emulateRdmsr(0xc000_0082)).toBe(0xffff_ffff_8100_0000n);
});

test('an MSR exits by its own number, for reads and writes apart', () => {
  const exits: unknown[] = [];
  const { cpu } = machine({
    controls: { readExitingMsrs: new Set([0x174]), writeExitingMsrs: new Set([0x175]) },
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'skip' };
    },
  });
  cpu.wrmsr(0x174, 1n);
  cpu.rdmsr(0x174);
  cpu.wrmsr(0x175, 2n);
  cpu.rdmsr(0x175);
  expect(exits).toEqual([
    { reason: 'rdmsr', msr: 0x174 },
    { reason: 'wrmsr', msr: 0x175, value: 2n },
  ]);
  cpu.controls.readExitingMsrs = 'all';
  cpu.rdmsr(0x176);
  // The CPL comes before the exit (SDM 3C 26.1.1).
  cpu.registers.cpl = 3;
  expect(cpu.rdmsr(0x176)).toEqual(raised(13));
  expect(cpu.wrmsr(0x175, 0n)).toEqual(raised(13));
  expect(exits).toHaveLength(3);
});

test('a write of EFER drops what was cached when NXE changes, and only then', () => {
  const flushes: string[] = [];
  const { cpu, tables } = machine({
    onEvent: (event) => {
      if (event.type === 'flush') flushes.push(event.cause);
    },
  });
  const page = va(0xffff_8880_0000_0000n);
  tables.map(page, 200, PTE.P);
  const flushesOf = (efer: bigint): string[] => {
    cpu.load(page, 1);
    flushes.length = 0;
    expect(cpu.wrmsr(0xc000_0080, efer)).toEqual(DONE);
    return [...flushes];
  };
  const { efer } = cpu.registers;
  expect(flushesOf(efer)).toEqual([]);
  expect(flushesOf(efer & ~EFER.SCE)).toEqual([]);
  expect(flushesOf(efer & ~EFER.NXE)).toContain('wrmsr');
  expect(flushesOf(efer)).toContain('wrmsr');
});

test('keys of supervisor pages are an MSR of processors that have them', () => {
  const { cpu } = machine();
  expect(cpu.wrmsr(0x6e1, LOW)).toEqual(DONE);
  expect([cpu.registers.pkrs, cpu.emulateRdmsr(0x6e1)]).toEqual([0xffff_ffff, LOW]);
  expect(cpu.wrmsr(0x6e1, HIGH)).toEqual(raised(13));
  for (const processor of [INTEL_SKYLAKE, AMD_ZEN4]) {
    const older = machine({ processor }).cpu;
    expect(older.wrmsr(0x6e1, 0n)).toEqual(raised(13));
    expect(older.rdmsr(0x6e1)).toEqual(raised(13));
  }
});
