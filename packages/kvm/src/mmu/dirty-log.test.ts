import { VcpuWaits } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { MemslotFlag } from '../memslots/memslot.ts';
import { USER_MEM_SLOTS, type UserspaceMemoryRegion } from '../memslots/memslots.ts';
import { createGuest, kernelVa, type TestGuest } from '../testing/guest.ts';

const LOG = MemslotFlag.LOG_DIRTY_PAGES;
const ENOENT = -2;
const EINVAL = -22;
/** Frames of the slot that logs: behind the guest's page tables, which the processor writes flags to. */
const FRAMES = 0x100;
const BASE = 0x200;
const ELSEWHERE = 0x4000;

/** A guest whose frames 0x200-0x2ff are slot 1, which can log, and a way to set that slot again. */
function loggingGuest(): TestGuest & { readonly set: (change: Partial<UserspaceMemoryRegion>) => number } {
  const guest = createGuest();
  const { vm } = guest;
  const backing = vm.slots[0]?.backing ?? 0;
  vm.removeMemory(0 as Gfn);
  const region = (slot: number, start: number, frames: number, flags = 0): UserspaceMemoryRegion => ({
    slot,
    flags,
    guestPhysicalAddress: BigInt(start) << 12n,
    memorySize: BigInt(frames) << 12n,
    userspaceAddress: BigInt(backing + start) << 12n,
  });
  const set = (change: Partial<UserspaceMemoryRegion>): number =>
    vm.ioctls.setUserMemoryRegion({ ...region(1, BASE, FRAMES, LOG), ...change });
  expect(vm.ioctls.setUserMemoryRegion(region(0, 0, BASE))).toBe(0);
  expect(set({})).toBe(0);
  return Object.assign(guest, { set });
}

function store(guest: TestGuest, gfn: number): void {
  expect(guest.cpu.store(kernelVa(gfn * 4096), 8, 1n)).toMatchObject({ kind: 'done' });
}

describe('the dirty log of a slot', () => {
  test('has each frame that was stored to once, until it is fetched, and again when it is stored to again', () => {
    const guest = loggingGuest();
    for (const gfn of [0x210, 0x205, 0x210]) store(guest, gfn);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x205, 0x210]);
    expect(guest.cpu.load(kernelVa(0x20_5000), 8)).toMatchObject({ kind: 'done' });
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([]);
    store(guest, 0x205);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x205]);
  });

  test('is gone when logging is switched off, and starts empty when it is switched on again', () => {
    const guest = loggingGuest();
    store(guest, 0x210);
    expect(guest.set({ flags: 0 })).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toBe(ENOENT);
    store(guest, 0x211);
    expect(guest.set({})).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([]);
    store(guest, 0x212);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x212]);
  });

  test('moves with its slot: the same pages at their new frames', () => {
    const guest = loggingGuest();
    store(guest, 0x210);
    expect(guest.set({ guestPhysicalAddress: BigInt(ELSEWHERE) << 12n })).toBe(0);
    store(guest, ELSEWHERE + 3);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([ELSEWHERE + 3, ELSEWHERE + 0x10]);
  });

  test('is gone when the slot moves and stops logging in one call, and new when it starts then', () => {
    const guest = loggingGuest();
    store(guest, 0x210);
    expect(guest.set({ guestPhysicalAddress: BigInt(ELSEWHERE) << 12n, flags: 0 })).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toBe(ENOENT);
    expect(guest.set({})).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([]);
  });

  test('stays when the slot is set as it is, and is gone with the slot', () => {
    const guest = loggingGuest();
    store(guest, 0x210);
    expect(guest.set({})).toBe(0);
    expect(guest.set({ memorySize: BigInt(FRAMES + 1) << 12n })).toBe(EINVAL);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x210]);
    store(guest, 0x210);
    expect(guest.set({ memorySize: 0n })).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toBe(ENOENT);
    expect(guest.set({})).toBe(0);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([]);
  });

  test('is asked for by a slot number that can exist', () => {
    const { vm } = loggingGuest();
    expect(vm.ioctls.getDirtyLog(0)).toBe(ENOENT);
    expect(vm.ioctls.getDirtyLog(USER_MEM_SLOTS - 1)).toBe(ENOENT);
    expect(vm.ioctls.getDirtyLog(USER_MEM_SLOTS)).toBe(EINVAL);
    expect(vm.ioctls.getDirtyLog(-1)).toBe(EINVAL);
  });
});

test('a dirty log that has to wait for another request has lost nothing', () => {
  const waits: unknown[] = [];
  let asks = false;
  const guest = createGuest({
    onYield() {
      if (!asks) return;
      try {
        guest.vm.ioctls.getDirtyLog(0);
      } catch (stop) {
        waits.push(stop);
      }
    },
  });
  const { backing = 0, frames = 0 } = guest.vm.slots[0] ?? {};
  const slot = { slot: 0, flags: LOG, guestPhysicalAddress: 0n, memorySize: BigInt(frames) << 12n };
  guest.vm.ioctls.setUserMemoryRegion({ ...slot, userspaceAddress: BigInt(backing) << 12n });
  guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  guest.cpu.store(kernelVa(0x30_0000), 8, 1n);
  asks = true;
  guest.vm.invalidate(0x200 as Gfn, 0x201 as Gfn);
  expect(waits.every((stop) => stop instanceof VcpuWaits)).toBe(true);
  expect(waits.length).toBeGreaterThan(0);
  asks = false;
  expect(guest.vm.ioctls.getDirtyLog(0)).toEqual([0x40, 0x41, 0x200, 0x300]);
});
