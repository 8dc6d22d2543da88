import { createEptEditor, encodeEptp, eptLeaf } from '@heki/ept';
import { createFrameAllocator, type Gfn, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { AMD_ZEN4 } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, guestView, kernelVa, range, type TestGuest, userVa } from '../testing/guest.ts';

/** EPT of L1's own for an L2 that sees L1's memory as it is, with all rights, in L1's frames from 0x3000 on. */
function tablesOfL1(guest: TestGuest): bigint {
  const memory = guestView(guest.ram, 0x10_0000 as Pfn) as PhysicalMemory as PhysicalMemory<Pfn>;
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: 0x3000 as Pfn, end: 0x3100 as Pfn }] });
  const editor = createEptEditor({ memory, frames });
  editor.map(0 as Gfn, 0x4000 as Gfn, 0 as Pfn, eptLeaf({ rights: 7 }));
  return encodeEptp({
    accessedDirty: false,
    root: editor.root,
  });
}

test('rfc-v2: a nested guest cannot write or run what L1 may not, and its own programs do not run either', () => {
  const guest = createGuest({ profile: 'rfc-v2' });
  const eptp = tablesOfL1(guest);
  guest.protect([range(0x200, 0x201, 3), range(0x201, 0x202, 5)]);
  expect(guest.vm.enterNested(guest.cpu, eptp)).toBe(true);
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(guest.cpu.store(kernelVa(0x20_1000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(guest.cpu.fetch(kernelVa(0x20_1000))).toMatchObject({ kind: 'done' });
  expect(guest.cpu.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  guest.cpu.registers.cpl = 3;
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  guest.vm.leaveNested(guest.cpu);
  expect(guest.cpu.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
});

test('hardened: a nested guest is entered only while nothing is protected, and thrown out when that changes', () => {
  const guest = createGuest();
  const eptp = tablesOfL1(guest);
  const other = guest.addCpu();
  expect(guest.vm.enterNested(other, eptp)).toBe(true);
  expect(other.fetch(kernelVa(0x20_0000))).toMatchObject({ kind: 'done' });
  guest.protect([range(0x200, 0x201, 3)]);
  expect(other.fetch(kernelVa(0x20_0000))).toMatchObject({ vector: 14, errorCode: 0x11 });
  other.registers.cpl = 3;
  expect(other.fetch(userVa(0x20_0000))).toMatchObject({ kind: 'done' });
  expect(guest.vm.enterNested(other, eptp)).toBe(false);
});

test("new rights bind an L2 at once, and a fault in L1's own tables is L1's business", () => {
  const guest = createGuest({ profile: 'rfc-v2' });
  const other = guest.addCpu();
  guest.vm.enterNested(other, tablesOfL1(guest));
  expect(other.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  guest.protect([range(0x200, 0x201, 1)]);
  expect(other.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ vector: 14, errorCode: 3 });
  expect(other.load(kernelVa(0x3000_0000), 8)).toMatchObject({ kind: 'stopped' });
});

test('nested guests are not modelled on AMD', () => {
  const guest = createGuest({ processor: AMD_ZEN4 });
  expect(() => guest.vm.enterNested(guest.cpu, 0n)).toThrow();
});
