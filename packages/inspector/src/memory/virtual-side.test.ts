import { expect, test } from 'vitest';
import { mappedRegions, stretchAt, type VirtualSide } from './virtual-side.ts';

const kind = (region: string) => ({ region, size: '4K', rights: 'rw-', leaf: 'rw-', isShared: false });
const SIDE: VirtualSide = {
  stretches: [
    { virtualFrame: 10, frame: 0, pages: 2, kind: 0 },
    { virtualFrame: 12, frame: 9, pages: 1, kind: 0 },
    { virtualFrame: 20, frame: 5, pages: 3, kind: 1 },
    { virtualFrame: 30, frame: 2, pages: 1, kind: 0 },
  ],
  kinds: [kind('modules'), kind('eBPF')],
  leaves: 7,
  leftOut: 0,
};

test('a region is named where it begins, again behind another, with what is mapped in it', () => {
  expect(mappedRegions(SIDE)).toEqual([
    { name: 'modules', first: 0, pages: 3 },
    { name: 'eBPF', first: 2, pages: 3 },
    { name: 'modules', first: 3, pages: 1 },
  ]);
});

test('an address is found in its stretch, or before the next one; behind all it is at the last', () => {
  expect([0, 10, 11, 12, 13, 22, 23, 30, 31].map((frame) => stretchAt(SIDE, frame))).toEqual([
    0, 0, 0, 1, 2, 2, 3, 3, 3,
  ]);
});
