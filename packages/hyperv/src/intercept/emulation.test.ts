import type { Gfn, Pfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createTestGuest } from '../testing/guest.ts';

/** The guest's tables are frames 1 to 3; it has 16 MiB, and its tables map what is behind that, too, when told so. */
function guestOf(): ReturnType<typeof createTestGuest> {
  const guest = createTestGuest();
  guest.put(0x3000 + 8 * 8, [0xe3, 0, 0, 1]);
  return guest;
}

const END = 0x100_0000;
const done = { kind: 'done' };
const GP = { kind: 'exception', vector: 13 };

test('a page table where no memory is counts as not present, and code there cannot be emulated', () => {
  const guest = guestOf();
  guest.put(0x2000, [0x63, 0, 0, 1]);
  expect(guest.vcpu.load(guest.va(0x20_0000), 8)).toMatchObject({ vector: 14, errorCode: 0 });
  expect(guest.vcpu.store(guest.va(0x20_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 2 });
  const other = guestOf();
  expect(other.vcpu.fetch(other.va(END))).toMatchObject({ kind: 'stopped' });
});

test('page tables in a read-only region translate', () => {
  const guest = guestOf();
  const { vm } = guest;
  vm.removeMemory(0 as Gfn);
  const backing = 0x1000;
  vm.addMemory({ start: 0 as Gfn, frames: 8, backing: backing as Pfn, readOnly: true });
  vm.addMemory({ start: 8 as Gfn, frames: 0xff8, backing: (backing + 8) as Pfn });
  expect(guest.vcpu.store(guest.va(0x20_0ffe), 4, 0x1122_3344n)).toMatchObject(done);
  expect(guest.vcpu.load(guest.va(0x20_0ffe), 4)).toMatchObject({ ...done, value: 0x1122_3344n });
  expect(guest.vcpu.store(guest.va(0x7ffe), 4, 0x1122_3344n)).toMatchObject(done);
  expect([0x7ffe, 0x7fff, 0x8000, 0x8001].map((gpa) => guest.byte(gpa))).toEqual([0, 0, 0x22, 0x11]);
});

test('an access over the end of memory makes its part in memory, as far as VTL1 allows', () => {
  const guest = guestOf();
  const { vcpu, vm } = guest;
  expect(vcpu.store(guest.va(END - 2), 4, 0x1122_3344n)).toMatchObject(done);
  expect(vcpu.load(guest.va(END - 2), 4)).toMatchObject({ ...done, value: 0xffff_3344n });
  vm.addMemory({ start: 0x1001 as Gfn, frames: 1, backing: 0x1020 as Pfn });
  const rights = { read: true, write: false, supervisorExecute: false, userExecute: true };
  vm.protect([{ start: 0x1001 as Gfn, end: 0x1002 as Gfn, rights }]);
  expect(vcpu.store(guest.va(0x100_0ffe), 4, 0x1122_3344n)).toMatchObject(GP);
  expect(vcpu.readModifyWrite(guest.va(0x100_0ffe), 4, () => 0n)).toMatchObject(GP);
  expect(vcpu.load(guest.va(0x100_0ffe), 4)).toMatchObject({ ...done, value: 0xffffn });
  expect(guest.events.findLast(({ type }) => type === 'denied')).toMatchObject({
    denial: { kind: 'memory', gpa: 0x100_1000, linear: guest.va(0x100_1000), access: 'write' },
  });
});
