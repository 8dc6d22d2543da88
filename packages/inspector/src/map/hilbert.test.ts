import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cell, cellOf, courseWithin, indexOf, LARGEST_ORDER, orderFor } from './hilbert.ts';

/**
 * The curve as Hilbert drew it: four of the next smaller one, the first and the last of them mirrored, so that each ends beside where
 * the next begins.
 */
function drawn(order: number): Cell[] {
  if (order === 0) return [{ x: 0, y: 0 }];
  const half = 2 ** (order - 1);
  const smaller = drawn(order - 1);
  return [
    ...smaller.map(({ x, y }) => ({ x: y, y: x })),
    ...smaller.map(({ x, y }) => ({ x: x + half, y })),
    ...smaller.map(({ x, y }) => ({ x: x + half, y: y + half })),
    ...smaller.map(({ x, y }) => ({ x: half - 1 - y, y: 2 * half - 1 - x })),
  ];
}

describe('the curve of Hilbert', () => {
  test.each([0, 1, 2, 3, 4, 5])('of order %i is the one that is drawn of four smaller ones', (order) => {
    const cells = drawn(order);
    expect(Array.from(cells, (_, index) => cellOf(order, index))).toEqual(cells);
    expect(cells.map((cell) => indexOf(order, cell))).toEqual([...cells.keys()]);
  });

  const place = fc.integer({ min: 1, max: LARGEST_ORDER }).chain((order) =>
    fc.tuple(
      fc.constant(order),
      fc.maxSafeNat().map((value) => value % 4 ** order),
    ),
  );

  test('leads from each cell to one beside it, and back to its index, to 2^40 frames', () => {
    fc.assert(
      fc.property(place, ([order, index]) => {
        const cell = cellOf(order, index);
        expect(indexOf(order, cell)).toBe(index);
        if (index === 0) return;
        const before = cellOf(order, index - 1);
        expect(Math.abs(cell.x - before.x) + Math.abs(cell.y - before.y)).toBe(1);
      }),
    );
  });

  test('fills each aligned square in one run, which zooming relies on', () => {
    fc.assert(
      fc.property(place, fc.nat(LARGEST_ORDER), ([order, index], part) => {
        const inner = Math.min(part, order);
        const side = 2 ** inner;
        const first = Math.floor(index / side ** 2) * side ** 2;
        const [corner, cell] = [cellOf(order, first), cellOf(order, index)];
        expect(Math.floor(cell.x / side)).toBe(Math.floor(corner.x / side));
        expect(Math.floor(cell.y / side)).toBe(Math.floor(corner.y / side));
      }),
    );
  });

  test('has the smallest order that holds all', () => {
    expect([0, 1, 2, 4, 5, 65_536, 65_537, 2 ** 40].map(orderFor)).toEqual([0, 0, 1, 1, 2, 8, 9, 20]);
  });

  test('goes through each aligned part as it goes through all of it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: LARGEST_ORDER }),
        fc.nat(),
        fc.nat(),
        fc.nat({ max: 4 }),
        (order, seed, place, most) => {
          const scale = seed % (order + 1);
          const power = Math.min(most, scale);
          const size = 4 ** scale;
          const start = (place % 4 ** (order - scale)) * size;
          const cellSide = 2 ** (scale - power);
          const origin = cellOf(order, start);
          const corner = [origin.x, origin.y].map((at) => Math.floor(at / 2 ** scale) * 2 ** scale);
          const expected = Array.from({ length: 4 ** power }, (_, part) => {
            const { x, y } = cellOf(order, start + part * (size / 4 ** power));
            const [column, row] = [x - (corner[0] ?? 0), y - (corner[1] ?? 0)];
            return Math.floor(column / cellSide) + 2 ** power * Math.floor(row / cellSide);
          });
          expect([...courseWithin(order, start, scale, power)]).toEqual(expected);
        },
      ),
    );
  });
});
