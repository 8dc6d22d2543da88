import type { Gfn, Pfn } from '@heki/physical-memory';
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
