import type { Gfn, Pfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, range } from '../testing/guest.ts';
import { createMemslots, USER_MEM_SLOTS, type UserspaceMemoryRegion } from './memslots.ts';

const EINVAL = -22;
const EEXIST = -17;
const OK = expect.objectContaining({});

function region(
  slot: number,
  gpa: number,
  size: number,
  more: Partial<UserspaceMemoryRegion> = {},
): UserspaceMemoryRegion {
  return {
    slot,
    flags: 0,
    guestPhysicalAddress: BigInt(gpa),
    memorySize: BigInt(size),
    userspaceAddress: 0x1000_0000n,
    ...more,
  };
}

test('a slot may be created, moved, given another dirty-log flag and deleted', () => {
  const slots = createMemslots();
  expect(slots.set(region(1, 0, 0x10000))).toEqual(OK);
  expect(slots.set(region(1, 0x100000, 0x10000))).toEqual(OK);
  expect(slots.find(0x5 as Gfn)).toBeUndefined();
  expect(slots.find(0x105 as Gfn)?.id).toBe(1);
  expect(slots.set(region(1, 0x100000, 0x10000, { flags: 1 }))).toEqual(OK);
  expect(slots.set(region(1, 0x100000, 0x10000, { flags: 1 }))).toEqual({
    removed: undefined,
    added: undefined,
  });
  expect(slots.set(region(1, 0, 0))).toEqual(OK);
  expect(slots.slots).toEqual([]);
});

test('the lowest free number is that of a slot that was deleted, or the one after all others', () => {
  const slots = createMemslots();
  for (const id of [0, 1, 3, 2]) slots.set(region(id, id * 0x10000, 0x10000));
  expect(slots.freeId).toBe(4);
  slots.set(region(1, 0, 0));
  expect(slots.freeId).toBe(1);
  slots.set(region(1, 0x100000, 0x10000));
  expect(slots.freeId).toBe(4);
});

test('slots are visited by the frames of a range, each with what it has of it', () => {
  const slots = createMemslots();
  for (const id of [0, 1, 3]) slots.set(region(id, id * 0x10000, 0x10000));
  const visited = (start: number, end: number) => {
    const seen: number[][] = [];
    slots.forEachIn(start, end, ({ id }, from, to) => seen.push([id, from, to]));
    return seen;
  };
  expect(visited(0x5, 0x31)).toEqual([
    [0, 0x5, 0x10],
    [1, 0x10, 0x20],
    [3, 0x30, 0x31],
  ]);
  expect(visited(0x20, 0x30)).toEqual([]);
  expect(visited(0x3f, 0x100)).toEqual([[3, 0x3f, 0x40]]);
});

test('a slot that moves keeps what the host mapping allows', () => {
  const guest = createGuest();
  const { vm } = guest;
  const { backing = 0 } = vm.slots[0] ?? {};
  vm.removeMemory(0 as Gfn);
  vm.addMemory({ start: 0 as Gfn, frames: 0x4000, backing: backing as never, largestLeaf: 1 });
  const moved = { slot: 0, flags: 0, memorySize: 0x400_0000n, userspaceAddress: BigInt(backing) << 12n };
  expect(vm.ioctls.setUserMemoryRegion({ ...moved, guestPhysicalAddress: 0x800_0000n })).toBe(0);
  expect(vm.preFault(0x8000 as Gfn, 0x8200 as Gfn)).toBe(0x200);
  expect(vm.leafCounts()).toEqual({ pages4K: 0x200, pages2M: 0, pages1G: 0 });
});

test('overlap is EEXIST, also with a slot in the middle and on a move', () => {
  const slots = createMemslots();
  slots.set(region(1, 0x10000, 0x10000));
  slots.set(region(2, 0x40000, 0x10000));
  expect(slots.set(region(3, 0x1f000, 0x1000))).toBe(EEXIST);
  expect(slots.set(region(3, 0x0, 0x100000))).toBe(EEXIST);
  expect(slots.set(region(3, 0x20000, 0x20000))).toEqual(OK);
  expect(slots.set(region(2, 0x18000, 0x10000))).toBe(EEXIST);
  expect(slots.set(region(2, 0x48000, 0x10000))).toEqual(OK);
});

test('everything else that is wrong is EINVAL', () => {
  const slots = createMemslots();
  slots.set(region(1, 0x10000, 0x10000));
  for (const wrong of [
    region(1, 0x10000, 0x20000),
    region(1, 0x10000, 0x10000, { flags: 2 }),
    region(1, 0x10000, 0x10000, { userspaceAddress: 0x2000_0000n }),
    region(2, 0x10800, 0x1000),
    region(2, 0x40000, 0x1800),
    region(2, 0x40000, 0x1000, { userspaceAddress: 0x800n }),
    region(2, 0x40000, 0x1000, { flags: 4 }),
    region(2, 0x40000, 0),
    region(USER_MEM_SLOTS, 0x40000, 0x1000),
    region(0x10000, 0x40000, 0x1000),
    region(2, -0x1000, 0x1000),
    region(2, 0x40000, -0x1000),
    region(2, 0x40000, 0x1000, { userspaceAddress: -0x1000n }),
    region(2, 0x40000, 0x1000, { guestPhysicalAddress: (1n << 63n) + 1n }),
    region(2, 0, 0, { guestPhysicalAddress: 1n << 63n, memorySize: 1n << 63n }),
    region(2, 0, 0, { memorySize: (2n ** 31n) << 12n }),
  ]) {
    expect(slots.set(wrong)).toBe(EINVAL);
  }
  expect(slots.set(region(USER_MEM_SLOTS - 1, 0x40000, 0x1000))).toEqual(OK);
});

test('a read-only slot is not written by the guest: the store goes to the VMM', () => {
  const exits: string[] = [];
  const guest = createGuest({ vmm: { onExit: (exit) => exits.push(exit.reason) } });
  const backing = guest.vm.slots[0]?.backing ?? 0;
  guest.vm.removeMemory(0 as Gfn);
  const slot = region(0, 0, 0x300000, { userspaceAddress: BigInt(backing) << 12n });
  expect(guest.vm.ioctls.setUserMemoryRegion(slot)).toBe(0);
  const rom = region(1, 0x300000, 0x1000, { userspaceAddress: BigInt(backing + 0x300) << 12n, flags: 2 });
  expect(guest.vm.ioctls.setUserMemoryRegion(rom)).toBe(0);
  expect(guest.cpu.load(kernelVa(0x30_0000), 8)).toMatchObject({ kind: 'done', value: 0n });
  expect(guest.cpu.store(kernelVa(0x30_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  expect(guest.cpu.load(kernelVa(0x30_0000), 8)).toMatchObject({ value: 0n });
  expect(guest.vm.effectiveRights(0x300 as Gfn)).toMatchObject({ read: true, write: false });
  expect(exits).toEqual(['mmio']);
});

test('an access where no slot is exits to the VMM and reads ones', () => {
  const exits: number[] = [];
  const guest = createGuest({ vmm: { onExit: (exit) => exit.reason === 'mmio' && exits.push(exit.gpa) } });
  expect(guest.cpu.load(kernelVa(0x3800_0000), 4)).toMatchObject({ kind: 'done', value: 0xffff_ffffn });
  expect(exits).toEqual([0x3800_0000]);
  expect(guest.vm.effectiveRights(0x3_8000 as Gfn)).toBeUndefined();
});

test('memory that gets another name is held at once to what was asked for that name', () => {
  for (const profile of ['hardened', 'rfc-v2'] as const) {
    const guest = createGuest({ profile });
    const { backing = 0 } = guest.vm.slots[0] ?? {};
    const again = (from: number) =>
      guest.vm.addMemory({ start: 0x5000 as Gfn, frames: 1, backing: (backing + from) as Pfn });
    again(0x4000);
    guest.protect([range(0x5000, 0x5001, 1)]);
    guest.vm.removeMemory(0x5000 as Gfn);
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
    again(0x200);
    // B-ALIAS of the series: each name has rights of its own.
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 2n)).toMatchObject(
      profile === 'hardened' ? { vector: 14, errorCode: 3 } : { kind: 'done' },
    );
    expect(guest.cpu.store(kernelVa(0x20_1000), 8, 2n)).toMatchObject({ kind: 'done' });
  }
});

test('memory that overlaps or lies outside the address space is refused with an error that says so', () => {
  const guest = createGuest();
  const backing = guest.vm.slots[0]?.backing ?? (0 as never);
  expect(() => guest.vm.addMemory({ start: 0x100 as Gfn, frames: 1, backing })).toThrow(
    'guest frames 0x100-0x101 overlap other memory of the guest',
  );
  expect(() => guest.vm.addMemory({ start: 0x8000 as Gfn, frames: 0, backing })).toThrow('are not a region');
  expect(() => guest.vm.removeMemory(5 as Gfn)).toThrow('no memory starts at guest frame 0x5');
});
