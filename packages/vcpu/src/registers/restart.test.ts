import { AMD_ZEN4, CPU_PROFILES, CR0, CR4, EFER } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { machine, PTE, va } from '../testing/machine.ts';
import { GENERAL_REGISTERS, type Registers } from './registers.ts';

const MSRS: ReadonlyMap<number, bigint> = new Map([
  [0x1b, 0xfee0_0d00n],
  [0x48, 1n],
  [0x174, 0x10n],
  [0x175, 0xfe00_1000n],
  [0x176, 0x8110_0000n],
  [0x1a0, 0x85_0089n],
  [0x1d9, 1n],
  [0x277, 0x0407_0500_0407_0506n],
  [0xc000_0081, 0x23_0010_0000_0000n],
  [0xc000_0082, 0xffff_ffff_8100_0000n],
  [0xc000_0083, 0xffff_ffff_8100_1000n],
  [0xc000_0084, 0x4_7700n],
  [0xc000_0100, 0x7fff_0000_0000n],
  [0xc000_0101, 0xffff_8880_0000_0000n],
  [0xc000_0102, 0x7fff_1000_0000n],
  [0xc000_0103, 3n],
]);
const FS_BASE = 0xc000_0100;
const GS_BASE = 0xc000_0101;
const CACHES_OFF = CR0.CD | CR0.NW;

/** A virtual CPU of a running kernel whose every register differs from what RESET leaves. */
function running(options: Parameters<typeof machine>[0] = {}) {
  const made = machine(options);
  const { cpu, tables } = made;
  for (const [msr, value] of MSRS) expect(cpu.wrmsr(msr, value)).toMatchObject({ kind: 'done' });
  for (const [i, name] of GENERAL_REGISTERS.entries()) cpu.registers[name] = BigInt(0x1000 + i);
  Object.assign(cpu.registers, {
    cr2: va(0x1234n),
    cr4: cpu.registers.cr4 | CR4.PKE,
    pkru: 0x5555_5554,
    pkrs: 0x4,
    gdtr: { base: va(0xffff_fe00_0000_0000n), limit: 0x7f },
    idtr: { base: va(0xffff_fe00_0000_0000n), limit: 0xfff },
    ldtr: 0x28,
    tr: 0x40,
    cpl: 3,
  } satisfies Partial<Registers>);
  tables.map(0xffff_8880_0000_0000n, 200, PTE.P | PTE.W);
  return made;
}

/** What RESET and INIT leave alike (SDM 3A table 10-1). */
function fresh(signature: number) {
  const general = Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, 0n]));
  return {
    ...general,
    rdx: BigInt(signature),
    rip: 0xffff_fff0n,
    rflags: 2n,
    cpl: 0,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
    codeSegment64: false,
    gdtr: { base: 0n, limit: 0xffff },
    idtr: undefined,
    ldtr: 0,
    tr: 0,
  };
}

/** The registers as one value, those behind accessors too. */
function all(registers: Registers) {
  const { rflags, cpl, cr0, cr3, cr4, efer, pkru, pkrs } = registers;
  return { ...registers, rflags, cpl, cr0, cr3, cr4, efer, pkru, pkrs };
}

describe.each(CPU_PROFILES)('on $name', (processor) => {
  test('RESET leaves every register and MSR as after power-up', () => {
    const { cpu } = running({ processor });
    const before = machine({ processor, registers: {} }).cpu;
    cpu.reset();
    const after = { ...fresh(processor.signature), cr0: CACHES_OFF | CR0.ET, pkru: 0, pkrs: 0 };
    expect(all(cpu.registers)).toEqual(after);
    expect({ ...all(before.registers), rdx: after.rdx }).toEqual(after);
    for (const [msr, value] of MSRS) {
      expect(cpu.emulateRdmsr(msr)).toBe(before.emulateRdmsr(msr));
      expect(cpu.emulateRdmsr(msr)).not.toBe(value);
    }
  });

  test.each([0n, CR0.CD, CACHES_OFF])(
    'INIT leaves MSRs, keys and CR0.CD and NW (0x%x) as they were',
    (caches) => {
      const { cpu } = running({ processor });
      cpu.registers.cr0 = (cpu.registers.cr0 & ~CACHES_OFF) | caches;
      cpu.init();
      const kept = { cr0: caches | CR0.ET, pkru: 0x5555_5554, pkrs: 4 };
      expect(all(cpu.registers)).toEqual({ ...fresh(processor.signature), ...kept });
      expect(cpu.emulateRdmsr(0xc000_0080)).toBe(0n);
      // The bases of FS and GS are registers of the segments, which are loaded anew.
      for (const [msr, value] of MSRS) {
        expect([msr, cpu.emulateRdmsr(msr)]).toEqual([msr, msr === FS_BASE || msr === GS_BASE ? 0n : value]);
      }
    },
  );
});

test.each(['init', 'reset'] as const)('%s ends what was under way, and empties the TLB', (how) => {
  const { cpu, tables } = running({ onExit: () => ({ kind: 'stop', why: 'for the test' }) });
  const address = va(0xffff_8880_0000_0000n);
  const long = all(cpu.registers);
  Object.assign(cpu.registers, { cpl: 0, idtr: undefined });
  expect(cpu.load(address, 1)).toMatchObject({ kind: 'done' });
  cpu.queueException({ vector: 13, errorCode: 0 });
  cpu.interruptContext = true;
  tables.map(address, 200, 0);
  cpu[how]();
  expect([cpu.halted, cpu.interruptContext]).toEqual([undefined, false]);
  expect(cpu.movFromCr(0)).toMatchObject({ kind: 'done' });
  const { cr0, cr3, cr4, efer } = long;
  Object.assign(cpu.registers, { efer, cr4, cr3, cr0 });
  expect(cpu.load(address, 1)).toMatchObject({ kind: 'exception', vector: 14 });
  cpu.vmcall();
  expect(cpu.halted).toEqual({ kind: 'stopped', why: 'for the test' });
  cpu[how]();
  expect(cpu.halted).toBeUndefined();
});

const overtaken = { kind: 'stopped', why: 'INIT or RESET came before the instruction was done' };

test.each(['init', 'reset'] as const)('%s between two turns of an instruction is the end of it', (how) => {
  let exits = 0;
  const { cpu } = running({
    changes: { cpl: 0 },
    onExit: () => ({ kind: exits++ === 0 ? 'resume' : 'skip' }),
  });
  const call = cpu.stepwise.vmcall();
  expect([call.next(), exits]).toEqual([{ done: false, value: 'retry' }, 1]);
  cpu[how]();
  expect([call.next(), exits]).toEqual([{ done: true, value: overtaken }, 1]);
  expect(cpu.registers.rip).toBe(0xffff_fff0n);
  expect(cpu.vmcall()).toMatchObject({ kind: 'done' });
});

test.each(['init', 'reset'] as const)(
  '%s by a hypervisor that answers an exit is the end of the instruction',
  (how) => {
    const { cpu } = machine({
      onExit(left) {
        left[how]();
        return { kind: 'skip' };
      },
    });
    expect(cpu.vmcall()).toEqual(overtaken);
    expect(cpu.registers.rip).toBe(0xffff_fff0n);
  },
);

test.each(['init', 'reset'] as const)('%s in handlers, one in the other, is what is left of them', (how) => {
  for (const decision of ['retry', 'fixup', 'fatal'] as const) {
    let deep = 0;
    const { cpu } = machine({
      onException(running) {
        if (++deep === 2) running[how]();
        else running.load(va(0xffff_8880_0000_1000n), 8);
        return decision;
      },
    });
    expect(cpu.load(va(0xffff_8880_0000_0000n), 8)).toEqual(overtaken);
    expect([deep, cpu.halted]).toEqual([2, undefined]);
    expect(all(cpu.registers)).toMatchObject({ rip: 0xffff_fff0n, rflags: 2n, cpl: 0, cr3: 0n });
  }
});

test('AMD keeps 32 bits of what SYSENTER and RDTSCP use, whatever is written above', () => {
  const { cpu } = machine({ processor: AMD_ZEN4 });
  const intel = machine().cpu;
  for (const msr of [0x175, 0x176]) {
    for (const value of [0x1234_5678_9abc_def0n, 0xffff_ffff_8110_0000n]) {
      expect(cpu.wrmsr(msr, value)).toMatchObject({ kind: 'done' });
      expect(cpu.rdmsr(msr)).toMatchObject({ value: value & 0xffff_ffffn });
    }
    expect(intel.wrmsr(msr, 0x1234_5678_9abc_def0n)).toMatchObject({ kind: 'exception', vector: 13 });
    expect(intel.wrmsr(msr, 0xffff_ffff_8110_0000n)).toMatchObject({ kind: 'done' });
    expect(intel.rdmsr(msr)).toMatchObject({ value: 0xffff_ffff_8110_0000n });
  }
  expect(cpu.wrmsr(0xc000_0103, 0x1_0000_0007n)).toMatchObject({ kind: 'done' });
  expect(cpu.rdmsr(0xc000_0103)).toMatchObject({ value: 7n });
  expect(intel.wrmsr(0xc000_0103, 0x1_0000_0007n)).toMatchObject({ kind: 'exception', vector: 13 });
  // SYSCALL is AMD's own, and 64 bits wide.
  for (const msr of [0xc000_0082, 0xc000_0083]) {
    expect(cpu.wrmsr(msr, 0x1234_5678_9abc_def0n)).toMatchObject({ kind: 'exception', vector: 13 });
  }
  expect(cpu.registers.efer & EFER.SCE).toBe(EFER.SCE);
});
