import type { Gfn, Pfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, kernelVa } from '../testing/guest.ts';

const END = 0x400_0000;
const BACKING = 0x10_0000;
const done = { kind: 'done' };

test('a page table where no memory is counts as not present, and code there is #GP', () => {
  const { cpu } = createGuest();
  cpu.registers.cr3 = BigInt(END);
  expect(cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ vector: 14, errorCode: 0 });
  expect(cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 2 });
  const other = createGuest();
  expect(other.cpu.fetch(kernelVa(END))).toMatchObject({ kind: 'exception', vector: 13 });
});

test('page tables in ram_ro translate, and a store to it is lost', () => {
  const { vm, cpu } = createGuest();
  vm.removeMemory(0 as Gfn);
  vm.addMemory({ start: 0 as Gfn, frames: 0x80, backing: BACKING as Pfn, readOnly: true });
  vm.addMemory({ start: 0x80 as Gfn, frames: 0x3f80, backing: (BACKING + 0x80) as Pfn });
  expect(cpu.store(kernelVa(0x7_fffe), 4, 0x1122_3344n)).toMatchObject(done);
  expect(cpu.load(kernelVa(0x7_fffe), 4)).toMatchObject({ ...done, value: 0x1122_0000n });
});

test('an access over the end of memory makes its part in memory, whatever the access type: a bypass, as declared', () => {
  const { vm, cpu, xen } = createGuest();
  const rights = { read: true, write: false, supervisorExecute: true, userExecute: true };
  vm.protect([{ start: 0x3fff as Gfn, end: 0x4000 as Gfn, rights }]);
  expect(cpu.store(kernelVa(END - 4), 2, 1n)).toMatchObject({ vector: 14 });
  vm.addMemory({ start: 0x4001 as Gfn, frames: 1, backing: (BACKING + 0x3fff) as Pfn });
  vm.protect([{ start: 0x4001 as Gfn, end: 0x4002 as Gfn, rights }]);
  expect(cpu.store(kernelVa(END + 0xffe), 4, 0x1122_3344n)).toMatchObject(done);
  expect(cpu.load(kernelVa(END + 0x1000), 2)).toMatchObject({ value: 0x1122n });
  expect(xen.capabilities.bypasses).toContain('emulator');
});
