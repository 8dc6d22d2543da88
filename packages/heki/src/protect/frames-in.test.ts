import { gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { framesIn } from './frames-in.ts';

const range = (start: number, end: number) => ({ start: gfn(start), end: gfn(end) });

test('a frame that is in several ranges counts once', () => {
  const ranges = [range(8, 9), range(0, 4), range(2, 6), range(3, 4), range(6, 7)];
  expect(framesIn(ranges, [range(0, 3), range(5, 9)])).toBe(6);
});
