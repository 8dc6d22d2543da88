import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstBehind, joinedRanges } from './frame-range.ts';

/** Ranges in any order below 64; they may overlap, touch and be the same. */
const ranges = fc.array(
  fc
    .tuple(fc.nat(60), fc.integer({ min: 1, max: 8 }))
    .map(([start, length]) => ({ start, end: start + length })),
  { maxLength: 12 },
);

const covered = (some: readonly { start: number; end: number }[]): number[] =>
  Array.from({ length: 70 }, (_, at) => at).filter((at) =>
    some.some(({ start, end }) => start <= at && at < end),
  );

describe('joined ranges', () => {
  it('cover what the ranges cover, ascend, and neither overlap nor touch', () => {
    fc.assert(
      fc.property(ranges, (some) => {
        const joined = joinedRanges(some);
        expect(covered(joined)).toEqual(covered(some));
        for (const [index, { start }] of joined.entries()) {
          expect(start).toBeGreaterThan(joined[index - 1]?.end ?? -1);
        }
      }),
    );
  });
});

describe('the first range behind a place', () => {
  it('is the first that ends behind it, or one past the last', () => {
    fc.assert(
      fc.property(ranges, fc.nat(70), (some, at) => {
        const joined = joinedRanges(some);
        const index = joined.findIndex(({ end }) => end > at);
        expect(firstBehind(joined, at)).toBe(index === -1 ? joined.length : index);
        const sized = joined.map(({ start, end }) => ({ start, frames: end - start }));
        expect(firstBehind(sized, at, ({ start, frames }) => start + frames)).toBe(firstBehind(joined, at));
      }),
    );
  });
});
