import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { figuresOf, mutantText, type Result } from './result.ts';
import { rankOfReported } from './sample.ts';

const result = (line: number, status: Result['status'], fileName = 'packages/ept/src/ept.ts'): Result => ({
  fileName,
  location: { start: { line, column: 3 }, end: { line, column: 8 } },
  mutatorName: 'EqualityOperator',
  replacement: 'a <= b',
  status,
});

it('counts what tests found, what they did not find and what no test runs', () => {
  const results = (
    ['Killed', 'Timeout', 'RuntimeError', 'Survived', 'NoCoverage', 'Ignored', 'CompileError'] as const
  ).map((status, i) => result(i, status));
  const { all, killed, survivors } = figuresOf(results, 9, true);
  expect({ all, killed, survivors: survivors.map(({ status }) => status) }).toEqual({
    all: 9,
    killed: 2,
    survivors: ['Survived', 'NoCoverage'],
  });
});

it('takes a mutant that loops for killed, and one that ran out of time for neither killed nor a survivor', () => {
  const loop: Result = { ...result(1, 'Timeout'), statusReason: 'Hit limit reached (501/500)' };
  expect(figuresOf([loop], 9, true)).toMatchObject({ killed: 1, timedOut: [], survivors: [] });
  const slow = result(2, 'Timeout');
  expect(figuresOf([slow], 9, true)).toMatchObject({ killed: 0, timedOut: [slow], survivors: [] });
});

it('of a run that ended early counts no mutant behind the last that was run', () => {
  const order = [1, 2, 3, 4, 5, 6]
    .map((line) => result(line, 'NoCoverage'))
    .sort((a, b) => (rankOfReported(a) < rankOfReported(b) ? -1 : 1));
  const results = order.map((one, i) => (i === 1 ? { ...one, status: 'Killed' as const } : one));
  expect(figuresOf(results, 9, false)).toMatchObject({ killed: 1, survivors: [{ status: 'NoCoverage' }] });
  expect(figuresOf(results, 9, true).survivors).toHaveLength(5);
  expect(figuresOf(order, 9, false)).toMatchObject({ killed: 0, survivors: [] });
});

it('tells a survivor by its place, what was there and what no test misses', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mutants-'));
  try {
    const path = join(folder, 'a.ts');
    writeFileSync(path, 'first\n  a < b;\n');
    expect(mutantText(result(2, 'NoCoverage', path))).toBe(
      `${path}:2:3 EqualityOperator (no test runs it)\n  - a < b\n  + a <= b`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
