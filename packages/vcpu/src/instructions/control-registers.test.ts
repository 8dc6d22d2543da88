import { CR0, CR4, EFER, INTEL_SKYLAKE, INTEL_VT_RP, writeCr0, writeCr4 } from '@heki/x86';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { VmExit } from '../exit.ts';
import { machine, PTE, va } from '../testing/machine.ts';

const DONE = { kind: 'done', value: undefined };
const GP = { kind: 'exception', vector: 13, errorCode: 0, fixedUp: false };

/** KVM's choice since 6.4 with EPT: the guest owns TS and WP; of CR4 some harmless bits and PGE. */
const CR0_MASK = ~(CR0.TS | CR0.WP) & 0xffff_ffffn;
const CR4_MASK =
  ~(CR4.PVI | CR4.DE | CR4.PCE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.PGE | CR4.TSD | CR4.FSGSBASE) &
  0xffff_ffffn;

function masked(): { cpu: ReturnType<typeof machine>['cpu']; exits: VmExit[] } {
  const exits: VmExit[] = [];
  const { cpu } = machine({
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'inject', exception: { vector: 13, errorCode: 0 } };
    },
  });
  cpu.controls.cr0Mask = CR0_MASK;
  cpu.controls.cr0Shadow = cpu.registers.cr0;
  cpu.controls.cr4Mask = CR4_MASK;
  cpu.controls.cr4Shadow = cpu.registers.cr4;
  return { cpu, exits };
}

const word = fc.bigInt({ min: 0n, max: 0xffff_ffffn });
const virtualization = fc.record({
  masks: fc.tuple(word, word),
  shadows: fc.tuple(word, word),
  /** The value as it differs from what the guest reads, or from the real register. */
  flips: fc.oneof(
    fc.constant(0n),
    fc.nat(31).map((bit) => 1n << BigInt(bit)),
    word,
  ),
  fromShadow: fc.boolean(),
  cr: fc.constantFrom(0 as const, 4 as const),
});
const BITS = Array.from({ length: 64 }, (_, bit) => BigInt(bit));
const bitOf = (value: bigint, bit: bigint): bigint => (value >> bit) & 1n;
const fromBits = (of: (bit: bigint) => bigint): bigint =>
  BITS.reduce((value, bit) => value | (of(bit) << bit), 0n);

test('a MOV exits, and a register reads and changes, as its own mask and shadow say bit by bit', () => {
  const seen = { exits: 0, written: 0, refused: 0 };
  fc.assert(
    fc.property(virtualization, ({ masks, shadows, flips, fromShadow, cr }) => {
      const exits: VmExit[] = [];
      const { cpu } = machine({
        onExit: (_vcpu, exit) => {
          exits.push(exit);
          return { kind: 'skip' };
        },
      });
      const [cr0Mask, cr4Mask] = masks;
      const [cr0Shadow, cr4Shadow] = shadows;
      Object.assign(cpu.controls, { cr0Mask, cr4Mask, cr0Shadow, cr4Shadow });
      const [mask, shadow] = cr === 0 ? [cr0Mask, cr0Shadow] : [cr4Mask, cr4Shadow];
      const { cr0, cr3, cr4, efer, rflags, pkru, pkrs } = cpu.registers;
      const real = cr === 0 ? cr0 : cr4;
      const read = fromBits((bit) => (bitOf(mask, bit) === 1n ? bitOf(shadow, bit) : bitOf(real, bit)));
      expect(cpu.movFromCr(cr)).toEqual({ kind: 'done', value: read });
      if (cr === 0) expect(cpu.smsw()).toEqual({ kind: 'done', value: read & 0xffffn });
      const source = (fromShadow ? read : real) ^ flips;
      const outcome = cpu.movToCr(cr, source);
      const owned = BITS.some((bit) => bitOf(mask, bit) === 1n && bitOf(source, bit) !== bitOf(shadow, bit));
      if (owned) {
        seen.exits++;
        expect(outcome).toEqual(DONE);
        expect(exits).toEqual([{ reason: 'mov-to-cr', cr, value: source }]);
        expect(cpu.registers).toMatchObject({ cr0, cr3, cr4 });
        return;
      }
      expect(exits).toEqual([]);
      const wanted = fromBits((bit) => bitOf(bitOf(mask, bit) === 1n ? real : source, bit));
      const registers = { cr0, cr3, cr4, efer, rflags, pkru, pkrs };
      const write = (cr === 0 ? writeCr0 : writeCr4)(registers, wanted, INTEL_VT_RP);
      if (write.kind !== 'ok') {
        seen.refused++;
        expect(outcome).toEqual(GP);
        expect(cpu.registers).toMatchObject({ cr0, cr3, cr4 });
        return;
      }
      seen.written++;
      expect(cpu.registers).toMatchObject({
        cr0: write.registers.cr0,
        cr3,
        cr4: write.registers.cr4,
      });
    }),
    { numRuns: 400 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});

test.each([0, 3, 4] as const)(
  'a hypervisor that writes CR%d for the guest sets the real register past masks, and its read shadow alone',
  (cr) => {
    const { cpu } = machine();
    const shadows = { cr0Shadow: 0x1234n, cr4Shadow: 0x5678n };
    Object.assign(cpu.controls, { ...shadows, cr0Mask: 0xffff_ffffn, cr4Mask: 0xffff_ffffn });
    const { cr0, cr3, cr4 } = cpu.registers;
    const before = { cr0, cr3, cr4 };
    const value = { 0: cr0 ^ CR0.AM, 3: 0x5000n, 4: cr4 ^ CR4.SMEP }[cr];
    expect(cpu.emulateMovToCr(cr, value)).toBeUndefined();
    expect(cpu.registers).toMatchObject({ ...before, [`cr${cr}`]: value });
    expect(cpu.controls).toMatchObject({ ...shadows, ...(cr === 3 ? {} : { [`cr${cr}Shadow`]: value }) });
    // What the processor refuses changes neither.
    const controls = { cr0Shadow: cpu.controls.cr0Shadow, cr4Shadow: cpu.controls.cr4Shadow };
    expect(cpu.emulateMovToCr(cr, 1n << 62n)).toEqual({ vector: 13, errorCode: 0 });
    expect(cpu.registers).toMatchObject({ ...before, [`cr${cr}`]: value });
    expect(cpu.controls).toMatchObject(controls);
  },
);

test('what SVM intercepts exits whatever it changes, and masks do not concern it', () => {
  const exits: VmExit[] = [];
  const { cpu } = machine({
    controls: { svm: { cr0Write: false, cr0Selective: false, cr4Write: false } },
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'skip' };
    },
  });
  const { cr0, cr4 } = cpu.registers;
  const taken = (): (number | string)[] => {
    exits.length = 0;
    for (const value of [cr0, cr0 ^ CR0.AM, cr0 ^ CR0.TS, cr0 ^ CR0.MP]) cpu.movToCr(0, value);
    cpu.clts();
    cpu.lmsw(1);
    cpu.movToCr(4, cr4 ^ CR4.SMEP);
    Object.assign(cpu.registers, { cr0, cr4 });
    return exits.map((exit) => (exit.reason === 'mov-to-cr' ? exit.cr : exit.reason));
  };
  const none = { cr0Write: false, cr0Selective: false, cr4Write: false };
  expect(taken()).toEqual([]);
  cpu.controls.svm = { ...none, cr0Selective: true };
  // CR0.AM, and LMSW.
  expect(taken()).toEqual([0, 0]);
  cpu.controls.svm = { ...none, cr0Write: true };
  expect(taken()).toEqual([0, 0, 0, 0, 0, 0]);
  cpu.controls.svm = { ...none, cr4Write: true };
  expect(taken()).toEqual([4]);
});

test('clearing CR0.WP does not exit when the guest owns that bit', () => {
  const { cpu, exits } = masked();
  expect(cpu.movToCr(0, cpu.registers.cr0 & ~CR0.WP)).toEqual(DONE);
  expect(cpu.registers.cr0 & CR0.WP).toBe(0n);
  expect(exits).toEqual([]);
});

test('clearing CR4.SMEP exits, and an injected #GP(0) is reported at the MOV', () => {
  const { cpu, exits } = masked();
  const { rip, cr4 } = cpu.registers;
  const value = cr4 & ~CR4.SMEP;
  expect(cpu.movToCr(4, value)).toEqual(GP);
  expect(exits).toEqual([{ reason: 'mov-to-cr', cr: 4, value }]);
  expect(cpu.registers.rip).toBe(rip);
  expect(cpu.registers.cr4).toBe(cr4);
});

test('a write that equals the read shadow does not exit, and host-owned bits keep their real values', () => {
  const { cpu, exits } = masked();
  cpu.controls.cr4Shadow &= ~CR4.SMAP;
  const shown = cpu.movFromCr(4);
  expect(shown).toEqual({ kind: 'done', value: cpu.registers.cr4 & ~CR4.SMAP });
  expect(cpu.movToCr(4, cpu.registers.cr4 & ~CR4.SMAP & ~CR4.PGE)).toEqual(DONE);
  expect(exits).toEqual([]);
  expect(cpu.registers.cr4 & (CR4.SMAP | CR4.PGE)).toBe(CR4.SMAP);
});

test('a hypervisor that emulates the MOV makes the guest read what it wrote', () => {
  const { cpu } = machine({
    onExit: (vcpu, exit) => {
      if (exit.reason !== 'mov-to-cr') return { kind: 'stop', why: exit.reason };
      const exception = vcpu.emulateMovToCr(exit.cr, exit.value);
      return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
    },
  });
  cpu.controls.cr4Mask = CR4.SMEP;
  cpu.controls.cr4Shadow = cpu.registers.cr4;
  const { rip, cr4 } = cpu.registers;
  expect(cpu.movToCr(4, cr4 & ~CR4.SMEP)).toEqual(DONE);
  expect(cpu.registers.rip).toBe(rip + 3n);
  expect(cpu.movFromCr(4)).toEqual({ kind: 'done', value: cr4 & ~CR4.SMEP });
  expect(cpu.movToCr(4, cr4 & ~CR4.PAE)).toEqual(GP);
  expect(cpu.registers.cr4).toBe(cr4 & ~CR4.SMEP);
});

test('SVM intercepts whole registers: a selective CR0 intercept lets only TS and MP pass', () => {
  const exits: VmExit[] = [];
  const { cpu } = machine({
    controls: { svm: { cr0Write: false, cr0Selective: true, cr4Write: true } },
    onExit: (_vcpu, exit) => {
      exits.push(exit);
      return { kind: 'skip' };
    },
  });
  const { cr0, cr4 } = cpu.registers;
  expect(cpu.movToCr(0, cr0 | CR0.TS)).toEqual(DONE);
  expect(exits).toEqual([]);
  cpu.movToCr(0, cpu.registers.cr0 & ~CR0.WP);
  cpu.movToCr(4, cr4);
  cpu.lmsw(1);
  expect(exits.map((exit) => exit.reason)).toEqual(['mov-to-cr', 'mov-to-cr', 'mov-to-cr']);
  expect(cpu.registers.cr0 & CR0.WP).toBe(CR0.WP);
});

test('what a VMM sets is what the guest reads, and what its MOV is compared with; other bits of a shadow stay', () => {
  const { cpu, exits } = masked();
  const { cr0, cr4 } = cpu.registers;
  cpu.controls.cr4Shadow ^= CR4.UMIP;
  const shown = cpu.controls.cr4Shadow;
  Object.assign(cpu.registers, { cr0: cr0 ^ CR0.NE, cr4: cr4 ^ CR4.SMEP });
  expect(cpu.controls).toMatchObject({ cr0Shadow: cr0 ^ CR0.NE, cr4Shadow: shown ^ CR4.SMEP });
  expect(cpu.smsw()).toEqual({ kind: 'done', value: (cr0 ^ CR0.NE) & 0xffffn });
  cpu.movToCr(0, cr0);
  expect(exits).toEqual([{ reason: 'mov-to-cr', cr: 0, value: cr0 }]);
});

test('CLTS exits only when the host owns TS and shows it set', () => {
  const { cpu, exits } = masked();
  cpu.controls.cr0Mask |= CR0.TS;
  cpu.registers.cr0 |= CR0.TS;
  cpu.controls.cr0Shadow &= ~CR0.TS;
  expect(cpu.clts()).toEqual(DONE);
  expect(cpu.registers.cr0 & CR0.TS).toBe(CR0.TS);
  cpu.controls.cr0Shadow |= CR0.TS;
  cpu.clts();
  expect(exits).toEqual([{ reason: 'mov-to-cr', cr: 0, value: cpu.controls.cr0Shadow & ~CR0.TS }]);
  cpu.controls.cr0Mask &= ~CR0.TS;
  expect(cpu.clts()).toEqual(DONE);
  expect(cpu.registers.cr0 & CR0.TS).toBe(0n);
});

test('LMSW changes the low four bits and cannot clear PE; SMSW reads the shadow', () => {
  const { cpu, exits } = masked();
  cpu.controls.cr0Mask = 0n;
  expect(cpu.lmsw(0b1000)).toEqual(DONE);
  expect(cpu.registers.cr0 & 0xfn).toBe(0b1001n);
  cpu.controls.cr0Mask = CR0.EM | CR0.PE;
  cpu.controls.cr0Shadow = CR0.EM | CR0.PE;
  expect(cpu.smsw()).toEqual({ kind: 'done', value: (cpu.registers.cr0 & 0xffffn) | CR0.EM });
  cpu.lmsw(0);
  expect(exits).toHaveLength(1);
  expect(cpu.lmsw(0b0101)).toEqual(DONE);
  expect(exits).toHaveLength(1);
});

test('user code reaches no control register, except by SMSW without UMIP', () => {
  const { cpu } = machine({ changes: { cpl: 3 } });
  for (const outcome of [cpu.movToCr(3, 0n), cpu.movFromCr(0), cpu.clts(), cpu.lmsw(1), cpu.rdmsr(0x10)]) {
    expect(outcome).toEqual(GP);
  }
  expect(cpu.smsw()).toMatchObject({ kind: 'done' });
  cpu.registers.cr4 |= CR4.UMIP;
  expect(cpu.smsw()).toEqual(GP);
});

test('the rules of the values hold for writes that do not exit', () => {
  const { cpu } = machine();
  const { cr0, cr3, cr4 } = cpu.registers;
  expect(cpu.movToCr(0, cr0 | (1n << 40n))).toEqual(GP);
  expect(cpu.movToCr(0, cr0 & ~CR0.PG)).toEqual(GP);
  expect(cpu.movToCr(4, cr4 & ~CR4.PAE)).toEqual(GP);
  expect(cpu.movToCr(4, cr4 | CR4.LASS)).toEqual(GP);
  expect(cpu.movToCr(3, 1n << 50n)).toEqual(GP);
  expect(cpu.registers).toMatchObject({ cr0, cr3, cr4 });
  expect(cpu.movToCr(2, 0x1234n)).toEqual(DONE);
  expect(cpu.movFromCr(2)).toEqual({ kind: 'done', value: 0x1234n });
});

test('a processor comes up from paging off into long mode by MOV CR and WRMSR alone', () => {
  const { cpu, tables } = machine({ changes: { cr0: CR0.ET | CR0.PE, cr3: 0n, cr4: 0n, efer: 0n } });
  const address = va(0xffff_8880_0000_0000n);
  tables.map(address, 200, PTE.P | PTE.W);
  expect(cpu.movToCr(4, CR4.PAE)).toEqual(DONE);
  expect(cpu.movToCr(3, BigInt(tables.root) << 12n)).toEqual(DONE);
  expect(cpu.wrmsr(0xc000_0080, EFER.LME | EFER.NXE)).toEqual(DONE);
  expect(cpu.movToCr(0, CR0.PG | CR0.WP | CR0.PE)).toEqual(DONE);
  expect(cpu.rdmsr(0xc000_0080)).toEqual({ kind: 'done', value: EFER.LME | EFER.LMA | EFER.NXE });
  expect(cpu.store(address, 8, 1n)).toEqual(DONE);
});

test('paging that the model does not have stops the virtual CPU and says why', () => {
  const { cpu } = machine({ changes: { cr0: CR0.ET | CR0.PE, cr4: 0n, efer: 0n } });
  const stopped = {
    kind: 'stopped',
    unmodelled: true,
    why: '32-bit and PAE paging are not modelled: CR0.PG = 1 with EFER.LMA = 0',
  };
  expect(cpu.movToCr(0, CR0.PG | CR0.PE)).toEqual(stopped);
  expect(cpu.load(va(0n), 8)).toEqual(stopped);
  cpu.reset();
  expect(cpu.halted).toBeUndefined();
});

test('MSRs take what the processor lets them take', () => {
  const { cpu } = machine();
  expect(cpu.wrmsr(0xc000_0082, 0xffff_ffff_8100_0000n)).toEqual(DONE);
  expect(cpu.rdmsr(0xc000_0082)).toEqual({ kind: 'done', value: 0xffff_ffff_8100_0000n });
  expect(cpu.registers).toMatchObject({ rcx: 0xc000_0082n, rdx: 0xffff_ffffn, rax: 0x8100_0000n });
  expect(cpu.wrmsr(0xc000_0082, 1n << 60n)).toEqual(GP);
  expect(cpu.wrmsr(0x277, 0x0202_0202_0202_0202n)).toEqual(GP);
  expect(cpu.wrmsr(0x277, 0x0007_0106_0007_0406n)).toEqual(DONE);
  expect(cpu.wrmsr(0xc000_0084, 1n << 32n)).toEqual(GP);
  expect(cpu.wrmsr(0x6e1, 0x5555_5554n)).toEqual(DONE);
  expect(cpu.registers.pkrs).toBe(0x5555_5554);
  expect(cpu.rdmsr(0x6e1)).toEqual({ kind: 'done', value: 0x5555_5554n });
  expect(cpu.wrmsr(0x6e1, 1n << 32n)).toEqual(GP);
  expect(cpu.rdmsr(0x1234_5678)).toEqual(GP);
  const older = machine({ processor: INTEL_SKYLAKE }).cpu;
  expect(older.wrmsr(0x6e1, 0n)).toEqual(GP);
  expect(older.rdmsr(0x6e1)).toEqual(GP);
  // 57 significant bits need a processor with 5-level paging, whatever CR4 says.
  expect(cpu.wrmsr(0xc000_0100, 1n << 50n)).toEqual(DONE);
  expect(older.wrmsr(0xc000_0100, 1n << 50n)).toEqual(GP);
});

test('MSR accesses exit by number, and a hypervisor can carry them out', () => {
  const { cpu } = machine({
    controls: { readExitingMsrs: new Set([0x10]), writeExitingMsrs: 'all' },
    onExit: (vcpu, exit) => {
      if (exit.reason === 'rdmsr') {
        vcpu.registers.rdx = 0x1234n;
        vcpu.registers.rax = 0x5678n;
        return { kind: 'skip' };
      }
      if (exit.reason !== 'wrmsr') return { kind: 'stop', why: exit.reason };
      const exception = vcpu.emulateWrmsr(exit.msr, exit.value);
      return exception === undefined ? { kind: 'skip' } : { kind: 'inject', exception };
    },
  });
  expect(cpu.rdmsr(0x10)).toEqual({ kind: 'done', value: 0x1234_0000_5678n });
  expect(cpu.wrmsr(0xc000_0103, 5n)).toEqual(DONE);
  expect(cpu.emulateRdmsr(0xc000_0103)).toBe(5n);
  expect(cpu.emulateRdmsr(0x9999)).toBeUndefined();
  expect(cpu.wrmsr(0xc000_0103, 1n << 32n)).toEqual(GP);
});

test('flags and keys: CLI and STI at CPL 0, STAC only with SMAP, WRPKRU only with PKE', () => {
  const { cpu } = machine();
  cpu.cli();
  expect(cpu.registers.rflags & (1n << 9n)).toBe(0n);
  cpu.sti();
  expect(cpu.registers.rflags & (1n << 9n)).toBe(1n << 9n);
  expect(cpu.wrpkru(4)).toMatchObject({ kind: 'exception', vector: 6 });
  cpu.registers.cr4 |= CR4.PKE;
  cpu.registers.cpl = 3;
  expect(cpu.wrpkru(4)).toEqual(DONE);
  expect(cpu.registers.pkru).toBe(4);
  expect(cpu.cli()).toEqual(GP);
  expect(cpu.stac()).toMatchObject({ kind: 'exception', vector: 6 });
});
