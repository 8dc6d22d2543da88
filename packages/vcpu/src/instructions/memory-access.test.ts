import type { Pfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { machine, PTE, va, XD } from '../testing/machine.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const RW = PTE.P | PTE.W;

test('a load gives what a store left, at any size and alignment, also across pages that are not neighbours', () => {
  const { memory, tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  tables.map(KERNEL + 4096n, 300, RW);
  for (const bytes of [1, 2, 4, 8] as const) {
    for (const offset of [0n, 1n, 3n, 8n, 4088n, 4089n, 4091n, 4095n]) {
      const value = BigInt.asUintN(bytes * 8, 0x8877_6655_4433_2211n + offset);
      expect(cpu.store(va(KERNEL + offset), bytes, value)).toEqual({ kind: 'done', value: undefined });
      expect(cpu.load(va(KERNEL + offset), bytes)).toEqual({ kind: 'done', value });
    }
  }
  cpu.store(va(KERNEL + 4095n), 2, 0xbbaan);
  expect((memory.page(200 as Pfn)?.[1023] ?? 0) >>> 24).toBe(0xaa);
  expect((memory.page(300 as Pfn)?.[0] ?? 0) & 0xff).toBe(0xbb);
});

test('a store across two pages of which the second refuses stores nothing', () => {
  const { memory, tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  tables.map(KERNEL + 4096n, 300, PTE.P);
  expect(cpu.store(va(KERNEL + 4092n), 8, -1n)).toEqual({
    kind: 'exception',
    vector: 14,
    errorCode: 3,
    cr2: KERNEL + 4096n,
    fixedUp: false,
  });
  expect(memory.page(200 as Pfn)?.[1023]).toBe(0);
  expect(cpu.registers.cr2).toBe(KERNEL + 4096n);
});

test('a repeated store keeps what it did before the page that faults', () => {
  const { memory, tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  const source = new Uint8Array(5000).fill(7);
  expect(cpu.storeBytes(KERNEL, source)).toMatchObject({
    kind: 'exception',
    cr2: KERNEL + 4096n,
    errorCode: 2,
  });
  expect(memory.page(200 as Pfn)?.[1023]).toBe(0x0707_0707);
  tables.map(KERNEL + 4096n, 300, RW);
  expect(cpu.storeBytes(KERNEL, source)).toMatchObject({ kind: 'done' });
  expect(cpu.loadBytes(va(KERNEL + 4090n), 12)).toEqual({ kind: 'done', value: new Uint8Array(12).fill(7) });
});

test('a locked read-modify-write gives the old value, stores the new one and faults as a write', () => {
  const { tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  cpu.store(KERNEL, 4, 41n);
  expect(cpu.readModifyWrite(KERNEL, 4, (old) => old + 1n)).toEqual({ kind: 'done', value: 41n });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'done', value: 42n });
  tables.change(KERNEL, PTE.W);
  cpu.invlpg(KERNEL);
  expect(cpu.readModifyWrite(KERNEL, 4, (old) => old)).toMatchObject({ vector: 14, errorCode: 3 });
});

test('a fetch jumps: RIP is at the target whether or not it may execute', () => {
  const { tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  tables.map(KERNEL + 4096n, 300, RW, XD);
  cpu.store(va(KERNEL + 16n), 4, 0xc3c3_90ccn);
  expect(cpu.fetch(va(KERNEL + 16n), 3)).toEqual({ kind: 'done', value: Uint8Array.of(0xcc, 0x90, 0xc3) });
  expect(cpu.registers.rip).toBe(KERNEL + 16n);
  expect(cpu.fetch(va(KERNEL + 4096n))).toMatchObject({ kind: 'exception', vector: 14, errorCode: 0x11 });
  expect(cpu.registers.rip).toBe(KERNEL + 4096n);
});

test('RIP moves behind an instruction that completes and stays at one that faults', () => {
  const { tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  const { rip } = cpu.registers;
  cpu.load(KERNEL, 8);
  expect(cpu.registers.rip).toBe(rip + 3n);
  cpu.load(va(KERNEL + 4096n), 8);
  expect(cpu.registers.rip).toBe(rip + 3n);
});

test('bytes that memory does not hold read as ones, and the outcome says so', () => {
  const { tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  tables.map(KERNEL + 4096n, 99_999, RW);
  expect(cpu.load(va(KERNEL + 4096n), 4)).toEqual({ kind: 'done', value: 0xffff_ffffn, absent: true });
  expect(cpu.load(va(KERNEL + 4094n), 4)).toEqual({ kind: 'done', value: 0xffff_0000n, absent: true });
  expect(cpu.store(va(KERNEL + 4096n), 4, 0n)).toEqual({ kind: 'done', value: undefined, absent: true });
  expect(cpu.store(va(KERNEL + 4094n), 4, 0xaabb_ccddn)).toEqual({
    kind: 'done',
    value: undefined,
    absent: true,
  });
  expect(cpu.load(va(KERNEL + 4094n), 2)).toEqual({ kind: 'done', value: 0xccddn });
  expect(cpu.fetch(va(KERNEL + 4094n), 3)).toEqual({
    kind: 'done',
    value: Uint8Array.of(0xdd, 0xcc, 0xff),
    absent: true,
  });
  expect(cpu.storeBytes(va(KERNEL + 4094n), Uint8Array.of(1, 2, 3))).toEqual({
    kind: 'done',
    value: undefined,
    absent: true,
  });
  expect(cpu.loadBytes(va(KERNEL + 4094n), 3)).toEqual({
    kind: 'done',
    value: Uint8Array.of(1, 2, 0xff),
    absent: true,
  });
  expect(cpu.readModifyWrite(va(KERNEL + 4095n), 2, (old) => old + 1n)).toEqual({
    kind: 'done',
    value: 0xff02n,
    absent: true,
  });
  expect(cpu.load(va(KERNEL + 4094n), 2)).toEqual({ kind: 'done', value: 0x0301n });
});

test('a page-table page that memory does not hold is an outcome of its own', () => {
  const { tables, cpu } = machine();
  tables.map(KERNEL, 200, RW);
  const { page, word } = tables.entry(KERNEL, 2);
  page[word] = 99_999 * 4096 + RW;
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'absent-table', entry: 99_999 * 4096 });
});

test('a non-canonical address raises #GP(0), also in the second half of an access', () => {
  const { tables, cpu } = machine();
  const last = va(0x7fff_ffff_f000n);
  tables.map(last, 200, RW);
  expect(cpu.load(va(last + 4096n), 1)).toMatchObject({ vector: 13, errorCode: 0 });
  expect(cpu.load(va(last + 4092n), 8)).toMatchObject({ vector: 13, errorCode: 0 });
});

test('user accesses are made at CPL 3, and AC lets the kernel reach user pages', () => {
  const { tables, cpu } = machine();
  const user = va(0x40_0000n);
  tables.map(user, 200, RW | PTE.U);
  tables.map(KERNEL, 201, RW);
  expect(cpu.load(user, 8)).toMatchObject({ vector: 14, errorCode: 1 });
  expect(cpu.stac()).toMatchObject({ kind: 'done' });
  expect(cpu.load(user, 8)).toMatchObject({ kind: 'done' });
  cpu.clac();
  expect(cpu.load(user, 8)).toMatchObject({ vector: 14, errorCode: 1 });
  expect(cpu.fetch(user)).toMatchObject({ vector: 14, errorCode: 0x11 });
  cpu.registers.cpl = 3;
  expect(cpu.load(user, 8)).toMatchObject({ kind: 'done' });
  expect(cpu.fetch(user)).toMatchObject({ kind: 'done' });
  expect(cpu.load(KERNEL, 8)).toMatchObject({ vector: 14, errorCode: 5 });
});

test('with paging off a linear address is a physical one of 32 bits', () => {
  const { memory, cpu } = machine({ changes: { cr0: 0x11n, efer: 0n } });
  const page = memory.writablePage(200 as Pfn);
  if (page !== undefined) page[0] = 0x1234;
  expect(cpu.load(va(200n << 12n), 4)).toEqual({ kind: 'done', value: 0x1234n });
  expect(cpu.load(va((1n << 32n) | (200n << 12n)), 4)).toEqual({ kind: 'done', value: 0x1234n });
});

test('arguments that no instruction has are refused with what is expected', () => {
  const { cpu } = machine();
  expect(() => cpu.load(-1n as typeof KERNEL, 8)).toThrow(
    /virtual address -1: expected 0 to 0xffffffffffffffff/,
  );
  expect(() => cpu.load(KERNEL, 3 as 4)).toThrow(/operand of 3 bytes: expected 1, 2, 4 or 8/);
  expect(() => cpu.fetch(KERNEL, 16)).toThrow(/expected an integer from 1 to 15/);
  expect(() => cpu.wrmsr(-1, 0n)).toThrow(/MSR number: expected/);
  expect(() => cpu.movToCr(4, 1n << 64n)).toThrow(/CR4: expected 0 to/);
});
