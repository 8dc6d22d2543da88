import type { Mutant } from '@stryker-mutator/api/core';
import { expect, it } from 'vitest';
import { sampleOf } from './sample.ts';

const mutant = (line: number, folder = '/home/somebody/'): Mutant => ({
  id: `${line}`,
  fileName: `${folder}packages/ept/src/ept.ts`,
  location: { start: { line, column: 1 }, end: { line, column: 9 } },
  mutatorName: 'ConditionalExpression',
  replacement: 'true',
});
const linesOf = (mutants: readonly Mutant[]) => mutants.map(({ id }) => Number(id));

it('takes the same mutants wherever the sources lie and in whatever order they come', () => {
  const lines = Array.from({ length: 50 }, (_, i) => i + 1);
  const sample = linesOf(
    sampleOf(
      lines.map((line) => mutant(line)),
      10,
    ),
  );
  expect(new Set(sample).size).toBe(10);
  expect(sample).not.toEqual(lines.slice(0, 10));
  const elsewhere = lines.map((line) => mutant(line, '/tmp/sandbox-x/')).reverse();
  expect(linesOf(sampleOf(elsewhere, 10))).toEqual(sample);
});

it('takes all when there are fewer, and begins a larger sample with a smaller one', () => {
  const mutants = [1, 2, 3, 4, 5, 6].map((line) => mutant(line));
  expect(linesOf(sampleOf(mutants, 300)).sort()).toEqual([1, 2, 3, 4, 5, 6]);
  expect(sampleOf(mutants, 5).slice(0, 2)).toEqual(sampleOf(mutants, 2));
});
