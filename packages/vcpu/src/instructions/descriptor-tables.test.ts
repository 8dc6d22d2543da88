import { AMD_ZEN4, type CpuProfile, CR4, INTEL_SKYLAKE, INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { machine, PTE, va } from '../testing/machine.ts';
import { ListedSecondLevel } from '../testing/second-level.ts';
import type { Vcpu } from '../vcpu.ts';

const GDT = va(0xffff_fe00_0001_0000n);
const RW = PTE.P | PTE.W;
const TSS = 0x40;
const LDT = 0x28;
/** Canonical where 57 bits count and nowhere else, whatever CR4.LA57 is; canonical nowhere. */
const WIDE = 0x0f00_0000_0000_0000n >> 4n;
const NOWHERE = 0x0100_0000_0000_0000n;
const DONE = { kind: 'done' };
const gp = (errorCode: number) => ({ kind: 'exception', vector: 13, errorCode });

/** The two halves of a 16-byte descriptor. */
function descriptor(access: number, base = 0n): readonly [low: bigint, high: bigint] {
  const low =
    0x67n | ((base & 0xff_ffffn) << 16n) | (BigInt(access) << 40n) | (((base >> 24n) & 0xffn) << 56n);
  return [low, base >> 32n];
}

function withGdt(processor: CpuProfile = INTEL_VT_RP) {
  const made = machine({ processor });
  const { cpu, tables } = made;
  tables.map(GDT, 220, RW);
  const put = (selector: number, [low, high]: readonly [bigint, bigint]): void => {
    cpu.store(va(GDT + BigInt(selector)), 8, low);
    cpu.store(va(GDT + BigInt(selector) + 8n), 8, high);
  };
  put(TSS, descriptor(0x89));
  put(LDT, descriptor(0x82));
  cpu.lgdt(GDT, 0x7f);
  return { ...made, put };
}

test('LTR reads the TSS descriptor and marks it busy in the GDT; a second LTR of it is #GP', () => {
  const { cpu, put } = withGdt();
  put(0x50, descriptor(0x09));
  expect(cpu.registers.gdtr).toEqual({ base: GDT, limit: 0x7f });
  expect(cpu.ltr(TSS)).toMatchObject(DONE);
  expect(cpu.registers.tr).toBe(TSS);
  expect(cpu.load(va(GDT + BigInt(TSS)), 8)).toEqual({ kind: 'done', value: 0x0000_8b00_0000_0067n });
  expect(cpu.ltr(TSS)).toMatchObject(gp(TSS));
  expect(cpu.ltr(0x50)).toMatchObject({ vector: 11, errorCode: 0x50 });
  expect(cpu.lldt(LDT)).toMatchObject(DONE);
  expect(cpu.lldt(TSS)).toMatchObject(gp(TSS));
});

test('a selector is null, names a descriptor of the GDT, or is the error code of #GP with its TI and without its RPL', () => {
  const { cpu } = withGdt();
  for (const selector of [0, 3]) {
    expect(cpu.ltr(selector)).toMatchObject(gp(0));
    expect(cpu.lldt(selector)).toMatchObject(DONE);
    expect(cpu.registers.ldtr).toBe(selector);
  }
  for (const [selector, errorCode] of [
    [0x80, 0x80],
    [0x83, 0x80],
    [0x78, 0x78],
    [TSS | 4, TSS | 4],
    [4, 4],
    [7, 4],
  ] as const) {
    expect(cpu.ltr(selector)).toMatchObject(gp(errorCode));
    expect(cpu.lldt(selector)).toMatchObject(gp(errorCode));
  }
});

test('LTR of a descriptor in a read-only GDT faults on the busy bit', () => {
  const { cpu, tables } = withGdt();
  tables.change(GDT, PTE.W);
  cpu.invlpg(GDT);
  expect(cpu.ltr(TSS)).toMatchObject({ vector: 14, errorCode: 3, cr2: GDT + 0x45n });
  expect(cpu.registers.tr).toBe(0);
});

test('the base in a descriptor must be an address of the processor, and the upper half must have no type', () => {
  for (const [access, load] of [
    [0x89, (cpu: Vcpu) => cpu.ltr(TSS)],
    [0x82, (cpu: Vcpu) => cpu.lldt(TSS)],
  ] as const) {
    const outcome = (base: bigint, processor: CpuProfile, present = true) => {
      const { cpu, put } = withGdt(processor);
      put(TSS, descriptor(present ? access : access & 0x7f, base));
      const got = load(cpu);
      // A TSS that is refused is not busy.
      const byte = cpu.load(va(GDT + BigInt(TSS) + 5n), 1);
      if (got.kind !== 'done')
        expect(byte).toMatchObject({ value: BigInt(present ? access : access & 0x7f) });
      return got;
    };
    for (const processor of [INTEL_VT_RP, AMD_ZEN4]) {
      expect(outcome(0xffff_8880_1234_5678n, processor)).toMatchObject(DONE);
      expect(outcome(WIDE, processor)).toMatchObject(DONE);
      expect(outcome(NOWHERE, processor)).toMatchObject(gp(TSS));
    }
    expect(outcome(WIDE, INTEL_SKYLAKE)).toMatchObject(gp(TSS));
    // #NP comes first.
    expect(outcome(NOWHERE, INTEL_VT_RP, false)).toMatchObject({ vector: 11, errorCode: TSS });
    const { cpu, put } = withGdt();
    const [low, high] = descriptor(access);
    for (const bit of [8n, 12n]) {
      put(TSS, [low, high | (1n << (32n + bit))]);
      expect(load(cpu)).toMatchObject(gp(TSS));
    }
    for (const bit of [7n, 13n]) {
      put(TSS, [low, high | (1n << (32n + bit))]);
      expect(load(cpu)).toMatchObject(DONE);
    }
  }
});

test('LGDT, LIDT and INVPCID take what the processor could translate, not what CR4.LA57 lets it', () => {
  const instructions = [
    (cpu: Vcpu, address: bigint) => cpu.lgdt(va(address), 0x7f),
    (cpu: Vcpu, address: bigint) => cpu.lidt(va(address), 0x7f),
    (cpu: Vcpu, address: bigint) => cpu.invpcid(0, 0, va(address)),
    (cpu: Vcpu, address: bigint) => cpu.wrmsr(0xc000_0082, address),
  ];
  for (const instruction of instructions) {
    const outcome = (address: bigint, processor: CpuProfile, cr4 = 0n) => {
      const { cpu } = machine({ processor });
      cpu.registers.cr4 |= cr4;
      return instruction(cpu, address);
    };
    for (const la57 of [0n, CR4.LA57]) {
      for (const address of [WIDE, 0xff00_0000_0000_0000n, 0xffaa_aaaa_aaaa_aaaan]) {
        expect(outcome(address, INTEL_VT_RP, la57)).toMatchObject(DONE);
      }
      for (const address of [NOWHERE, 0xfeff_ffff_ffff_ffffn, 1n << 63n]) {
        expect(outcome(address, INTEL_VT_RP, la57)).toMatchObject(gp(0));
      }
    }
    for (const address of [WIDE, 0xff00_0000_0000_0000n, 1n << 47n]) {
      expect(outcome(address, INTEL_SKYLAKE)).toMatchObject(gp(0));
    }
    expect(outcome((1n << 47n) - 1n, INTEL_SKYLAKE)).toMatchObject(DONE);
  }
});

test('user code loads no table, whatever it names', () => {
  const { cpu } = withGdt();
  const { gdtr, idtr, ldtr, tr } = cpu.registers;
  cpu.registers.cpl = 3;
  for (const outcome of [
    cpu.lgdt(GDT, 0x7f),
    cpu.lidt(GDT, 0xfff),
    cpu.lldt(LDT),
    cpu.lldt(0),
    cpu.ltr(TSS),
  ]) {
    expect(outcome).toMatchObject({ kind: 'exception', vector: 13, errorCode: 0 });
  }
  expect(cpu.registers).toMatchObject({ gdtr, idtr, ldtr, tr });
});

test('SGDT, SIDT, SLDT, STR and SMSW give what was loaded, to user code unless UMIP is set', () => {
  const { cpu } = withGdt();
  cpu.ltr(TSS);
  cpu.lldt(LDT);
  expect(cpu.sidt()).toEqual({ kind: 'done', value: { base: 0n, limit: 0xffff } });
  const idtr = { base: va(0xffff_fe00_0000_0000n), limit: 0xfff };
  cpu.lidt(idtr.base, idtr.limit);
  const all = () => [cpu.sgdt(), cpu.sidt(), cpu.sldt(), cpu.str(), cpu.smsw()];
  const values = [{ base: GDT, limit: 0x7f }, idtr, BigInt(LDT), BigInt(TSS), cpu.registers.cr0 & 0xffffn];
  const given = values.map((value) => ({ kind: 'done', value }));
  expect(all()).toEqual(given);
  cpu.registers.cpl = 3;
  expect(all()).toEqual(given);
  cpu.registers.cpl = 0;
  cpu.registers.cr4 |= CR4.UMIP;
  expect(all()).toEqual(given);
  cpu.registers.cpl = 3;
  cpu.registers.idtr = undefined;
  for (const instruction of ['sgdt', 'sidt', 'sldt', 'str', 'smsw'] as const) {
    expect(cpu[instruction]()).toMatchObject(gp(0));
  }
});

test('accesses and jumps go by CR4.LA57 all the same', () => {
  const { cpu } = machine();
  expect(cpu.load(va(WIDE), 8)).toMatchObject(gp(0));
  expect(cpu.fetch(va(WIDE))).toMatchObject(gp(0));
});

test('a hypervisor loads a table register for the guest with the checks of the instruction', () => {
  const { cpu, put } = withGdt();
  const table = { base: va(0x5000n), limit: 0xff };
  for (const register of ['gdtr', 'idtr'] as const) {
    const load = { register, limit: table.limit };
    expect(cpu.emulateDescriptorLoad({ ...load, value: NOWHERE })).toEqual({ vector: 13, errorCode: 0 });
    const kept = cpu.registers[register];
    expect(kept?.base).not.toBe(NOWHERE);
    if (register === 'gdtr') continue;
    expect(cpu.emulateDescriptorLoad({ ...load, value: table.base })).toBeUndefined();
    expect(cpu.registers[register]).toEqual(table);
  }
  expect(cpu.emulateDescriptorLoad({ register: 'ldtr', value: BigInt(LDT) })).toBeUndefined();
  expect(cpu.emulateDescriptorLoad({ register: 'tr', value: BigInt(TSS) })).toBeUndefined();
  expect(cpu.registers).toMatchObject({ ldtr: LDT, tr: TSS });
  expect(cpu.emulateDescriptorLoad({ register: 'tr', value: BigInt(TSS) })).toEqual({
    vector: 13,
    errorCode: TSS,
  });
  put(TSS, descriptor(0x89, NOWHERE));
  expect(cpu.emulateDescriptorLoad({ register: 'tr', value: BigInt(TSS) })).toEqual({
    vector: 13,
    errorCode: TSS,
  });
  cpu.registers.gdtr = { base: va(0x1_0000n), limit: 0x7f };
  expect(cpu.emulateDescriptorLoad({ register: 'tr', value: BigInt(TSS) })).toEqual({
    vector: 14,
    errorCode: 0,
    cr2: va(0x1_0000n + BigInt(TSS)),
  });
});

test('a GDT that the second level keeps from the processor has no descriptor for a hypervisor to load', () => {
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  const { cpu, tables } = machine({ secondLevel });
  tables.map(GDT, 220, RW);
  cpu.registers.gdtr = { base: GDT, limit: 0x7f };
  const load = { register: 'tr', value: BigInt(TSS | 3) } as const;
  expect(cpu.emulateDescriptorLoad(load)).toEqual({ vector: 13, errorCode: TSS });
  expect(cpu.registers.tr).toBe(0);
});
