import type { Gfn, Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AskedRights, createHostFrames, rightsUnderAllNames } from './host-frames.ts';

const ALL = { read: true, write: true, supervisorExecute: true, userExecute: true };
const READ_ONLY: AskedRights = { rights: { ...ALL, write: false }, immutable: true };
const region = (start: number, frames: number, backing: number) => ({
  start: start as Gfn,
  frames,
  backing: backing as Pfn,
});

test('a checkpoint brings back which guest frames are the same memory, now and before', () => {
  const frames = createHostFrames();
  frames.come(region(0x10, 4, 0x100));
  const back = frames.checkpoint();
  frames.come(region(0x20, 2, 0x102));
  frames.leave(region(0x10, 4, 0x100), [{ start: 0x12 as Gfn, end: 0x13 as Gfn, ...READ_ONLY }]);
  expect(frames.othersOf(0x20 as Gfn, () => undefined)).toMatchObject([READ_ONLY]);
  back();
  expect(frames.departed).toEqual([]);
  frames.come(region(0x20, 2, 0x102));
  expect(frames.aliases(0x10, 0x14)).toEqual([{ start: 0x20, end: 0x22 }]);
  expect(frames.isShared(0x10, 0x12)).toBe(false);
});

test('a page that was not asked for executes no more than its other names may; one that was asked for what it was given', () => {
  const others = [{ rights: { ...ALL, supervisorExecute: false }, immutable: false }, READ_ONLY];
  expect(rightsUnderAllNames(ALL, false, others)).toEqual({ ...ALL, write: false, supervisorExecute: false });
  expect(rightsUnderAllNames(ALL, true, others)).toEqual({ ...ALL, write: false });
});

test('runs of frames say what is said of each frame by itself', () => {
  const frames = fc.nat({ max: 11 });
  const regions = fc.uniqueArray(fc.record({ slot: fc.nat(3), backing: frames }), {
    selector: ({ slot }) => slot,
    minLength: 1,
  });
  const asks = fc.array(fc.record({ gfn: fc.nat(63), write: fc.boolean() }), { maxLength: 20 });
  fc.assert(
    fc.property(regions, asks, fc.nat(3), frames, frames, (slots, asked, gone, a, b) => {
      const hostFrames = createHostFrames();
      const table = new Map(
        asked.map(({ gfn, write }) => [gfn, { rights: { ...ALL, write }, immutable: false }]),
      );
      const askedIn = (start: number, end: number) =>
        [...table]
          .filter(([gfn]) => gfn >= start && gfn < end)
          .sort(([left], [right]) => left - right)
          .map(([gfn, own]) => ({ start: gfn as Gfn, end: (gfn + 1) as Gfn, ...own }));
      for (const { slot, backing } of slots) hostFrames.come(region(16 * slot, 8, backing));
      const left = slots.find(({ slot }) => slot === gone);
      if (left !== undefined)
        hostFrames.leave(region(16 * gone, 8, left.backing), askedIn(16 * gone, 16 * gone + 8));
      const [start, end] = [4 * Math.min(a, b), 4 * Math.max(a, b)];
      const byRun = hostFrames
        .runs(start as Gfn, end as Gfn, askedIn)
        .flatMap((run) =>
          Array.from({ length: run.end - run.start }, (_, index) => [run.start + index, run.others]),
        );
      const rights = (others: unknown) => (others as AskedRights[]).map(({ rights: { write } }) => write);
      expect(byRun.map(([gfn, others]) => [gfn, rights(others)])).toEqual(
        Array.from({ length: end - start }, (_, index) => [
          start + index,
          rights(hostFrames.othersOf((start + index) as Gfn, (gfn) => table.get(gfn))),
        ]),
      );
    }),
    { numRuns: 300 },
  );
});
