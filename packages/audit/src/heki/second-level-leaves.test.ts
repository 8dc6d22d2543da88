import type { FrameRange, Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { secondLevelLeaves } from './index.ts';

const range = (start: number, end: number): FrameRange<Gfn> => ({ start: start as Gfn, end: end as Gfn });
const GIB = 2 ** 18;

test('a GiB with one page of its own falls into 2-MiB pages, and one of these into 4-KiB pages', () => {
  const { before, after, lost } = secondLevelLeaves([range(0, 2 * GIB)], [0x1000, 0x1001], 262144);
  expect(before).toEqual({ '1G': 2, '2M': 0, '4K': 0 });
  expect(after).toEqual({ '1G': 1, '2M': 511, '4K': 512 });
  expect(lost).toEqual({ '1G': 1, '2M': 1 });
});

test('an edge between two large pages costs none of them', () => {
  expect(secondLevelLeaves([range(0, 2048)], [1024], 262144).lost).toEqual({ '1G': 0, '2M': 0 });
});

test('leaves map every frame of RAM once, whatever the edges', () => {
  const frames = fc.nat(3 * 512);
  fc.assert(
    fc.property(
      fc.array(frames, { maxLength: 4 }),
      fc.array(frames, { maxLength: 8 }),
      fc.constantFrom(1, 512, 262144),
      (bounds, edges, largest) => {
        const sorted = [...new Set(bounds)].sort((a, b) => a - b);
        const ram: FrameRange<Gfn>[] = [];
        for (let index = 0; index + 1 < sorted.length; index += 2) {
          ram.push(range(sorted[index] ?? 0, sorted[index + 1] ?? 0));
        }
        const cuts = [...new Set(edges)].sort((a, b) => a - b);
        const { before, after } = secondLevelLeaves(ram, cuts, largest as 1 | 512 | 262144);
        const all = ram.reduce((sum, { start, end }) => sum + end - start, 0);
        for (const leaves of [before, after]) {
          expect(leaves['1G'] * GIB + leaves['2M'] * 512 + leaves['4K']).toBe(all);
        }
        // The slow way: a 2-MiB page is one when RAM has all of it and no edge lies inside.
        let large = 0;
        for (let at = 0; at < 3 * 512; at += 512) {
          const whole = ram.some(({ start, end }) => start <= at && at + 512 <= end);
          if (whole && !cuts.some((edge) => edge > at && edge < at + 512)) large++;
        }
        expect(after['2M']).toBe(largest === 1 ? 0 : large);
      },
    ),
    { numRuns: 60 },
  );
});
