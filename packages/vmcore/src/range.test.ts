import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uppermost, without } from './range.ts';

it('an empty range has no part outside holes', () => {
  expect(without([{ start: 0, end: 0 }], [])).toEqual([]);
  expect(without([{ start: 5, end: 5 }], [{ start: 0, end: 9 }])).toEqual([]);
});

describe('ranges that lie on top of each other', () => {
  it('are parted so that of each number the first range that has it is taken', () => {
    const range = fc
      .tuple(fc.nat(60), fc.nat(20))
      .map(([start, length]) => ({ start, end: start + length, name: Symbol(`${start}+${length}`) }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
        const parts = uppermost(ranges);
        for (let number = 0; number < 90; number++) {
          const has = (one: { readonly start: number; readonly end: number }) =>
            one.start <= number && number < one.end;
          expect(parts.filter(has).map(({ name }) => name)).toEqual(
            ranges
              .filter(has)
              .slice(0, 1)
              .map(({ name }) => name),
          );
        }
        for (const [index, { start, end }] of parts.entries()) {
          expect(start).toBeGreaterThanOrEqual(parts[index - 1]?.end ?? 0);
          expect(end).toBeGreaterThan(start);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('in hundreds of thousands, all of them nested, take no longer than sorting them', () => {
    const count = 200_000;
    const nested = Array.from({ length: count }, (_, index) => ({ start: index, end: 2 * count - index }));
    expect(uppermost(nested)).toEqual([{ start: 0, end: 2 * count }]);
    expect(uppermost(nested.reverse()).length).toBe(2 * count - 1);
  });
});
