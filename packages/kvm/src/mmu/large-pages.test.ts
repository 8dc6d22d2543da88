import type { Gfn, Pfn } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createAttributeStore } from '../attributes/attribute-store.ts';
import { kvmDefects } from '../defects/kvm-defects.ts';
import { createLargePageFlags, type Memslot } from '../memslots/memslot.ts';
import { createGuest, kernelVa, range } from '../testing/guest.ts';
import { createLargePages, FRAMES_PER_LEVEL } from './large-pages.ts';

function slotOf(base: number, frames: number, backing = base): Memslot {
  return {
    id: 0,
    base: base as Gfn,
    frames,
    backing: backing as Pfn,
    flags: 0,
    hostLevel: 3,
    mixed: createLargePageFlags(),
    dirty: new Set(),
  };
}

test('hardened: a leaf is legal exactly where slot, backing and attributes agree, however they came about', () => {
  const change = fc.record({
    start: fc.integer({ min: 0, max: 3 * 2 ** 18 }),
    length: fc.oneof(fc.constantFrom(1, 512, 2 ** 18), fc.integer({ min: 1, max: 2 ** 18 })),
    bits: fc.constantFrom(0x08, 0x10, 0x30, 0x50, 0x70, 0),
    mask: fc.constantFrom(0xf0, 0x08),
    aligned: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 12 }),
      fc.constantFrom(0, 5, 512),
      fc.array(fc.integer({ min: 0, max: 3 * 2 ** 18 - 1 }), { minLength: 20, maxLength: 20 }),
      (changes, base, probes) => {
        const attributes = createAttributeStore();
        const slot = slotOf(base, 3 * 2 ** 18 - base);
        const largePages = createLargePages({
          attributes,
          defects: defectSwitches(kvmDefects, 'hardened'),
          privateMemory: true,
          overRead: () => {
            throw new Error('read beyond the array');
          },
        });
        largePages.slotCreated(slot);
        for (const { start, length, bits, mask, aligned } of changes) {
          const from = aligned ? start - (start % 512) : start;
          attributes.update(from, from + length, bits, mask);
          largePages.attributesChanged(slot, from, from + length, bits);
        }
        const interesting = changes.flatMap(({ start, length }) => [start, start + length]);
        for (const probe of [...probes, ...interesting]) {
          if (probe < slot.base || probe >= slot.base + slot.frames) continue;
          let legal = 1;
          for (const level of [2, 3] as const) {
            const span = FRAMES_PER_LEVEL[level];
            const first = probe - (probe % span);
            if (first < slot.base || first + span > slot.base + slot.frames) continue;
            const value = attributes.get(first as Gfn);
            if (attributes.equal(first, first + span, value, 0xff)) legal = level;
          }
          expect(largePages.legalLevel(slot, probe as Gfn, 3)).toBe(legal);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('leaves are not larger than the host mapping, its alignment, and the log of stores allow', () => {
  const largePages = createLargePages({
    attributes: createAttributeStore(),
    defects: defectSwitches(kvmDefects, 'hardened'),
    privateMemory: false,
    overRead: () => undefined,
  });
  const giga = 2 ** 18;
  const level = (slot: Memslot, highest = 3): number => largePages.legalLevel(slot, giga as Gfn, highest);
  expect(level(slotOf(0, 4 * giga))).toBe(3);
  expect(level(slotOf(0, 4 * giga), 2)).toBe(2);
  expect(level(slotOf(0, 4 * giga, 512))).toBe(2);
  expect(level(slotOf(0, 4 * giga, 1))).toBe(1);
  expect(level({ ...slotOf(0, 4 * giga), hostLevel: 2 })).toBe(2);
  expect(level({ ...slotOf(0, 4 * giga), flags: 1 })).toBe(1);
  expect(level(slotOf(giga + 1, 2 * giga))).toBe(1);
});

test('a region whose pages agree again comes back as one leaf once the host invalidates it', () => {
  const guest = createGuest();
  guest.protect([range(0, 0x4000, 3)]);
  guest.protect([range(0x250, 0x251, 1)]);
  guest.cpu.load(kernelVa(0x20_0000), 8);
  expect(guest.vm.leafCounts().pages4K).toBe(1);
  guest.protect([range(0x250, 0x251, 3)]);
  guest.vm.invalidate(0x200 as Gfn, 0x400 as Gfn);
  guest.cpu.load(kernelVa(0x20_0000), 8);
  expect(guest.vm.leafCounts().pages4K).toBe(0);
});

test('stores are logged page by page, and a log that was fetched gives write access back only to writable pages', () => {
  const guest = createGuest();
  guest.protect([range(0x200, 0x201, 1), range(0x201, 0x400, 3)]);
  const [slot] = guest.vm.slots;
  const region = {
    slot: 0,
    flags: 1,
    guestPhysicalAddress: 0n,
    memorySize: BigInt(slot?.frames ?? 0) << 12n,
    userspaceAddress: BigInt(slot?.backing ?? 0) << 12n,
  };
  expect(guest.vm.ioctls.getDirtyLog(0)).toBe(-2);
  expect(guest.vm.ioctls.setUserMemoryRegion(region)).toBe(0);
  guest.cpu.load(kernelVa(0x20_1000), 8);
  expect(guest.vm.effectiveRights(0x201 as Gfn)).toMatchObject({ present: true, write: true });
  guest.cpu.store(kernelVa(0x20_2000), 8, 1n);
  guest.cpu.store(kernelVa(0x20_0000), 8, 1n);
  // With EPT accessed and dirty flags every walk through the guest's page tables (0x40, 0x41) counts as a store.
  expect(guest.vm.ioctls.getDirtyLog(0)).toEqual([0x40, 0x41, 0x201, 0x202]);
  expect(guest.vm.effectiveRights(0x201 as Gfn)).toMatchObject({ present: true, write: false });
  expect(guest.cpu.store(kernelVa(0x20_1000), 8, 2n)).toMatchObject({ kind: 'done' });
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 2n)).toMatchObject({ vector: 14, errorCode: 3 });
  guest.hypercall(9, 0x20_3000, 0);
  expect(guest.vm.ioctls.getDirtyLog(0)).toEqual([0x40, 0x41, 0x201, 0x203]);
  expect(guest.vm.ioctls.getDirtyLog(7)).toBe(-2);
});
