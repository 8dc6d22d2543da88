import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ascendingOrder } from './radix-sort.ts';

const key = fc.oneof(
  fc.nat(300),
  fc.nat(2 ** 31 - 1),
  fc.nat(2 ** 20).map((n) => n * 2 ** 12),
  fc.nat(2 ** 20).map((n) => n * 2 ** 20 + 5),
);

test('gives the order that a stable sort gives, for keys close together and far apart', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 200 }), fc.nat(2 ** 30), fc.nat(5), (keys, base, more) => {
      const all = Float64Array.from([...keys.map((one) => one + base), ...new Array<number>(more).fill(0)]);
      const expected = keys.map((_, index) => index).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
      expect([...ascendingOrder(all, keys.length)]).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test('uses every bit of keys that span just less than 2^32', () => {
  const keys = Float64Array.of(2 ** 40 - 1, 2 ** 40 - 2 ** 32 + 1, 2 ** 40 - 2 ** 31, 2 ** 40 - 2);
  expect([...ascendingOrder(keys, 4)]).toEqual([1, 2, 3, 0]);
});
