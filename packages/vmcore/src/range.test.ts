import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Range, uppermost, without } from './range.ts';

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
        const namesAt = (of: typeof ranges) =>
          Array.from({ length: 90 }, (_, number) =>
            of.filter(({ start, end }) => start <= number && number < end).map(({ name }) => name),
          );
        expect(namesAt(parts)).toEqual(namesAt(ranges).map((names) => names.slice(0, 1)));
        const isAscending = ({ start, end }: Range, index: number) =>
          start >= (parts[index - 1]?.end ?? 0) && end > start;
        expect(parts.every(isAscending)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('in a hundred thousand, all of them nested, take no longer than sorting them', () => {
    const count = 100_000;
    const nested = Array.from({ length: count }, (_, index) => ({ start: index, end: 2 * count - index }));
    expect(uppermost(nested)).toEqual([{ start: 0, end: 2 * count }]);
    expect(uppermost(nested.reverse()).length).toBe(2 * count - 1);
  });
});
