import { createStateDigest } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestValue } from './digest-value.ts';

function numberOf(value: unknown): number {
  const digest = createStateDigest();
  digestValue(value, digest);
  return digest.number;
}

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.boolean(),
    fc.integer({ min: -2, max: 2 }),
    fc.constantFrom(0n, 1n, 2n ** 64n, -1n, 'a', '1', undefined, null, 0.5),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b'), tie('value')),
  ),
})).value;

test('plain data is told from other plain data', () => {
  fc.assert(
    fc.property(plain, plain, (a, b) => {
      expect(numberOf(a) === numberOf(b)).toBe(textOf(a) === textOf(b));
    }),
    { numRuns: 1000 },
  );
});

test('what a set holds counts, and in whose place a value stands', () => {
  expect(numberOf(new Set([1, 2]))).not.toBe(numberOf(new Set([1])));
  expect(numberOf([[1], 2])).not.toBe(numberOf([[1, 2]]));
  expect(numberOf({ a: [1] })).not.toBe(numberOf({ a: 1 }));
});

/** The same as text, with what JSON does not tell. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'bigint' || each === undefined ? `${typeof each} ${each}` : each,
  );
}
