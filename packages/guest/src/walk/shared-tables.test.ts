import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createHekiGuest, guestDefects, HekiCommand } from '../index.ts';
import { at, GuestTables, type Letters } from '../testing/guest-tables.ts';
import { PageModel } from '../testing/page-model.ts';
import { READ, r, smallKernel, start, VMALLOC, WRITE } from '../testing/small-kernel-guest.ts';
import { createTestKernel } from '../testing/test-kernel.ts';
import { walkByPage } from '../testing/walk-by-page.ts';

const ZERO_PAGE = 0x3000 as Gfn;
const SHADOW = at('ffffec0000000000');
const SLOT = 2 ** 27;

/** A small kernel with KASAN's shadow of untouched memory: whole slots of the root that lead to one table a level. */
function kasanKernel(slots: number): GuestTables {
  const tables = smallKernel();
  for (let page = 0; page < 512; page++) tables.map(SHADOW + page, ZERO_PAGE, 1, '4K', 'r--');
  for (let slot = 1; slot < 512; slot++) tables.share(SHADOW, SHADOW + slot * 512, 2);
  for (let slot = 1; slot < 512; slot++) tables.share(SHADOW, SHADOW + slot * 2 ** 18, 3);
  for (let slot = 1; slot < slots; slot++) tables.share(SHADOW, SHADOW + slot * SLOT, 4);
  return tables;
}

describe.each(['rfc-v2', 'hardened'] as const)('KASAN shadow of untouched memory, %s', (profile) => {
  test('is counted as often as it is mapped, and the page list is that of the kernel without it', () => {
    const { guest, sent, events } = start({ profile, tables: kasanKernel(5) });
    expect(guest.earlyInit()).toEqual({ outcome: 'counting', leaves: 2 + 5 * SLOT, pages: 1024 + 1 });
    expect(guest.counters(ZERO_PAGE)).toEqual({ read: 5 * SLOT, write: 0, execute: 0 });
    expect(events).toContainEqual({
      type: 'shared-tables',
      places: 511 + 511 + 4,
      mappings: 5 * SLOT - 512,
      tablesAtSeveralLevels: 0,
    });
    expect(guest.lateInit()).toEqual({ outcome: 'protected' });
    const plain = start({ profile, tables: smallKernel() });
    plain.guest.earlyInit();
    plain.guest.lateInit();
    expect(sent()).toEqual(plain.sent());
    // The direct map has it too, writable.
    expect(guest.permissions(ZERO_PAGE)).toBe(READ | WRITE);
  });

  test('goes on being counted when a part of it becomes shadow of memory that is used', () => {
    const { guest } = start({ profile, tables: kasanKernel(2) });
    guest.earlyInit();
    // A page table of its own takes the place of the shared one, 5 MiB into the second slot, and 3 pages of that are unmapped.
    const from = (SHADOW + SLOT + 1024) as VirtualFrame;
    expect(guest.beginChange().unmap(from, (from + 3 * 512 + 3) as VirtualFrame)).toBe(0);
    expect(guest.counters(ZERO_PAGE)).toEqual({ read: 2 * SLOT - 3 * 512 - 3, write: 0, execute: 0 });
  });
});

describe('a page that is mapped 2^32 times', () => {
  const shadows = 32;

  test('counts as not mapped, as published (B-G7)', () => {
    const { guest } = start({ profile: 'rfc-v2', tables: kasanKernel(shadows) });
    guest.earlyInit();
    expect(guest.counters(ZERO_PAGE)).toEqual({ read: 0, write: 0, execute: 0 });
    guest.applyLeaves(HekiCommand.UNMAP, [{ guestFrame: ZERO_PAGE, frames: 1, ...r }]);
    expect(guest.counters(ZERO_PAGE)).toMatchObject({ read: -1 });
  });

  test('counts as what it is, where that is mended', () => {
    const { guest } = start({ tables: kasanKernel(shadows) });
    guest.earlyInit();
    expect(guest.counters(ZERO_PAGE)).toEqual({ read: 2 ** 32, write: 0, execute: 0 });
    expect(guest.permissions(ZERO_PAGE)).toBe(READ);
    guest.beginChange().unmap(SHADOW, (SHADOW + 31 * SLOT) as VirtualFrame);
    expect(guest.counters(ZERO_PAGE)).toMatchObject({ read: SLOT });
  });
});

test('tables that several entries lead to are counted as the core counts them that looks up every page', () => {
  const letters = fc.constantFrom<Letters>('r--', 'r-x', 'rw-', 'rwx');
  const piece = fc.record({ at: fc.nat(1030), frame: fc.nat(2000), count: fc.nat(6), letters });
  // 2-MiB slots of 16 MiB: which table stands in each.
  const slots = fc.array(fc.nat(2), { minLength: 8, maxLength: 8 });
  const range = fc.tuple(fc.nat(8 * 512), fc.nat(8 * 512)).map(([one, other]) => ({
    start: (VMALLOC + Math.min(one, other)) as VirtualFrame,
    end: (VMALLOC + Math.max(one, other)) as VirtualFrame,
  }));
  const step = fc.record({
    command: fc.constantFrom('map', 'unmap', 'update'),
    range,
    set: fc.nat(7),
    clear: fc.nat(7),
  });
  let shared = 0;
  fc.assert(
    fc.property(
      fc.constantFrom('rfc-v2' as const, 'hardened' as const),
      fc.array(piece, { minLength: 1, maxLength: 8 }),
      slots,
      fc.array(step, { maxLength: 5 }),
      (profile, pieces, targets, steps) => {
        const tables = new GuestTables({ start: 2 ** 20 });
        for (const { at: offset, frame, count, letters: rights } of pieces) {
          tables.map(VMALLOC + offset, frame, count, '4K', rights);
        }
        targets.forEach((target, slot) => {
          if (slot > 2) tables.share(VMALLOC + target * 512, VMALLOC + slot * 512, 2);
        });
        const validFrames = [{ start: 0 as Gfn, end: 2048 as Gfn }];
        const kernel = createTestKernel({ tables, validFrames });
        const guest = createHekiGuest({
          kernel,
          profile,
          defects: { 'B-G20': true },
          hypervisor: { lockCrs: () => 0, protectMemory: () => 0 },
          onEvent: (event) => {
            if (event.type === 'shared-tables') shared += event.places;
          },
        });
        const model = new PageModel(defectSwitches(guestDefects, profile), {
          isValid: () => true,
          allocate: () => true,
          protectMemory: () => 0,
        });
        guest.earlyInit();
        model.apply(HekiCommand.MAP, walkByPage(tables, VMALLOC, VMALLOC + 8 * 512));
        for (const {
          command,
          range: { start: from, end },
          set,
          clear,
        } of steps) {
          const leaves = walkByPage(tables, from, end);
          if (command === 'map') model.apply(HekiCommand.MAP, leaves);
          else if (command === 'unmap') model.apply(HekiCommand.UNMAP, leaves);
          else model.apply(HekiCommand.UPDATE, leaves, { set, clear });
          if (command === 'map') guest.map(from, end);
          else if (command === 'unmap') guest.beginChange().unmap(from, end);
          else guest.beginChange().update(from, end, set, clear);
        }
        const counted = new Map<number, unknown>();
        for (let frame = 0; frame < 2048; frame++) {
          const counters = guest.counters(frame as Gfn);
          if (counters !== undefined) counted.set(frame, Object.values(counters));
        }
        expect(counted).toEqual(new Map([...model.counters].sort(([a], [b]) => a - b)));
      },
    ),
    { numRuns: 150 },
  );
  expect(shared).toBeGreaterThan(50);
});
