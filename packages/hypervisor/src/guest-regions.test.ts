import { createRam, type Gfn, type Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HypervisorError } from './error.ts';
import { createGuestRegions } from './guest-regions.ts';

const FRAMES = 64;
const host = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: (1000 + FRAMES) as Pfn }] });

test('are what a list with one entry for each frame says', () => {
  const change = fc.record({
    add: fc.boolean(),
    start: fc.nat(FRAMES - 1),
    frames: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), fc.nat(FRAMES), fc.nat(FRAMES), (changes, a, b) => {
      const regions = createGuestRegions(host);
      /** Where the region starts that has the frame. */
      const owner = new Array<number | undefined>(FRAMES + 9).fill(undefined);
      for (const { add, start, frames } of changes) {
        const wanted = Array.from({ length: frames }, (_, at) => start + at);
        if (add) {
          const region = { start: start as Gfn, frames, backing: (1000 + start) as Pfn };
          if (wanted.some((frame) => owner[frame] !== undefined)) {
            expect(() => regions.add(region)).toThrow(HypervisorError);
          } else {
            regions.add(region);
            for (const frame of wanted) owner[frame] = start;
          }
        } else if (owner[start] === start) {
          regions.remove(start as Gfn);
          for (const [frame, of] of owner.entries()) if (of === start) owner[frame] = undefined;
        } else expect(() => regions.remove(start as Gfn)).toThrow(HypervisorError);
      }
      expect(owner.map((_, frame) => regions.find(frame as Gfn)?.start)).toEqual(owner);
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      const within = owner.map((of, frame) => (frame >= start && frame < end ? of : undefined));
      expect(regions.overlaps(start, end)).toBe(within.some((of) => of !== undefined));
      const covered = new Array<number | undefined>(owner.length).fill(undefined);
      for (const part of regions.parts(start, end)) covered.fill(part.region.start, part.start, part.end);
      expect(covered).toEqual(within);
      expect(regions.end).toBe(owner.findLastIndex((of) => of !== undefined) + 1);
    }),
  );
});

test('of guest memory are read where they are backed', () => {
  const regions = createGuestRegions(host);
  regions.add({ start: 2 as Gfn, frames: 2, backing: 1003 as Pfn });
  const page = regions.memory.writablePage(3 as Gfn);
  if (page !== undefined) page[0] = 7;
  expect(host.page(1004 as Pfn)?.[0]).toBe(7);
  expect(regions.memory.page(4 as Gfn)).toBeUndefined();
});

test('are frames that there are', () => {
  const regions = createGuestRegions(host);
  for (const [start, frames] of [
    [0, 0],
    [-1, 2],
    [2 ** 40, 1],
    [0, Number.NaN],
  ] as const) {
    expect(() => regions.add({ start: start as Gfn, frames, backing: 0 as Pfn })).toThrow('are not a region');
  }
});
