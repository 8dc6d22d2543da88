import type { Gfn } from '@heki/physical-memory';
import { INTEL_VT_RP } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa } from '../testing/guest.ts';

const ENOENT = -2;
const ENOMEM = -12;
const EINVAL = -22;
const { ept } = INTEL_VT_RP;
if (ept === undefined) throw new TypeError('the processor has EPT');

/** Two regions, frames 0-0x3fff and 0x4100-0x41ff. */
function guestWithHole() {
  const guest = createGuest();
  const backing = guest.vm.slots[0]?.backing ?? (0 as never);
  guest.vm.addMemory({ start: 0x4100 as Gfn, frames: 0x100, backing });
  return guest;
}

const frames = (start: number, end: number): readonly [Gfn, Gfn] => [start as Gfn, end as Gfn];

test('memory is mapped as far as the first hole, and a hole at the start is ENOENT', () => {
  const { vm } = guestWithHole();
  expect(vm.preFault(...frames(0x10, 0x4200))).toBe(0x3ff0);
  expect(vm.effectiveRights(0x4180 as Gfn)?.present).toBe(false);
  expect(vm.preFault(...frames(0x4000, 0x4200))).toBe(ENOENT);
  expect(vm.preFault(...frames(0x4100, 0x4180))).toBe(0x80);
  expect(vm.effectiveRights(0x4180 as Gfn)?.present).toBe(false);
  expect(vm.preFault(...frames(0x4100, 0x4180))).toBe(0x80);
});

test('a hole ends it at once, however large it is', () => {
  const { vm, events } = guestWithHole();
  expect(vm.preFault(...frames(0x4200, 2 ** 40))).toBe(ENOENT);
  expect(vm.preFault(...frames(0x41f0, 2 ** 40))).toBe(0x10);
  expect(events.filter(({ type }) => type === 'mapped')).toHaveLength(0x10);
});

test('large leaves are used where they are legal', () => {
  const { vm } = guestWithHole();
  expect(vm.preFault(...frames(0, 0x4000))).toBe(0x4000);
  expect(vm.leafCounts()).toEqual({ pages4K: 0, pages2M: 32, pages1G: 0 });
});

test('an empty range is EINVAL, and no frame for a table ENOMEM', () => {
  const guest = guestWithHole();
  expect(guest.vm.preFault(...frames(0x10, 0x10))).toBe(EINVAL);
  expect(guest.vm.preFault(...frames(0x10, 0xf))).toBe(EINVAL);
  while (guest.frames.allocate() !== undefined);
  expect(guest.vm.preFault(...frames(0x10, 0x20))).toBe(ENOMEM);
});

test('a processor without large EPT leaves gets none', () => {
  for (const [part, pages2M, pages1G] of [
    [{}, 0, 1],
    [{ gigabytePages: false }, 512, 0],
    [{ gigabytePages: false, twoMegabytePages: false }, 0, 0],
  ] as const) {
    const guest = createGuest({
      processor: { ...INTEL_VT_RP, ept: { ...ept, ...part } },
      guestFrames: 0x4_0000,
      deaf: true,
    });
    expect(guest.cpu.load(kernelVa(0x20_0000), 8)).toMatchObject({ kind: 'done' });
    guest.vm.preFault(0 as Gfn, (pages2M + pages1G > 0 ? 0x4_0000 : 0x400) as Gfn);
    expect(guest.vm.leafCounts()).toMatchObject({ pages2M, pages1G });
  }
});
