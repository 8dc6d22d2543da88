import { CR4, INTEL_DIAMOND_RAPIDS, RFLAGS } from '@heki/x86';
import { expect, test } from 'vitest';
import { machine, PTE, va } from '../testing/machine.ts';

const USER = va(0x7f00_0000_0000n);
const KERNEL = va(0xffff_8880_0000_0000n);
const GP = { kind: 'exception', vector: 13, errorCode: 0 };
const CR4_LINUX = CR4.PAE | CR4.PGE | CR4.SMEP | CR4.SMAP;

/** A page in each half of the addresses that everybody may use, as far as tables go. */
function twoHalves(cr4: bigint) {
  const { tables, cpu } = machine({ processor: INTEL_DIAMOND_RAPIDS, changes: { cr4 } });
  tables.map(USER, 200, PTE.P | PTE.W | PTE.U);
  tables.map(KERNEL, 201, PTE.P | PTE.W | PTE.U);
  return cpu;
}

test('user mode loses what its TLB holds of the upper half when LASS is switched on, without any flush', () => {
  const cpu = twoHalves(CR4.PAE);
  cpu.registers.cpl = 3;
  expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
  cpu.registers.cpl = 0;
  expect(cpu.movToCr(4, CR4.PAE | CR4.LASS)).toMatchObject({ kind: 'done' });
  cpu.registers.cpl = 3;
  expect([cpu.load(KERNEL, 8), cpu.store(KERNEL, 1, 0n), cpu.fetch(KERNEL)]).toMatchObject([GP, GP, GP]);
  expect(cpu.registers.cr2).toBe(0n);
  expect([cpu.load(USER, 8), cpu.fetch(USER)]).toMatchObject([{ kind: 'done' }, { kind: 'done' }]);
});

test('the kernel reaches the lower half between STAC and CLAC alone, and never fetches there', () => {
  const cpu = twoHalves(CR4_LINUX | CR4.LASS);
  expect(cpu.load(USER, 8)).toMatchObject(GP);
  cpu.stac();
  expect(cpu.load(USER, 8)).toMatchObject({ kind: 'done' });
  expect(cpu.fetch(USER)).toMatchObject(GP);
  cpu.clac();
  expect(cpu.load(USER, 8)).toMatchObject(GP);
  expect(cpu.load(KERNEL, 1)).toMatchObject({ kind: 'exception', vector: 14 });
});

test('a descriptor table in the lower half cannot be read, whatever RFLAGS.AC is', () => {
  const { tables, cpu } = machine({
    processor: INTEL_DIAMOND_RAPIDS,
    changes: { cr4: CR4_LINUX | CR4.LASS, rflags: 2n | RFLAGS.AC, gdtr: { base: USER, limit: 0xff } },
  });
  tables.map(USER, 200, PTE.P | PTE.W);
  expect(cpu.lldt(0x10)).toMatchObject(GP);
  expect(cpu.movToCr(4, CR4_LINUX)).toMatchObject({ kind: 'done' });
  // The table can be read now; it holds no LDT descriptor.
  expect(cpu.lldt(0x10)).toMatchObject({ kind: 'exception', vector: 13, errorCode: 0x10 });
});
