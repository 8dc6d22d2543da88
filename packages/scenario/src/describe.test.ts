import { expect, test } from 'vitest';
import { describePageClass, describeScenario, describeStep, type ScenarioResult } from './index.ts';

test('a step is described by its verdict, by what it was about and, where it differs, by the outcome that was expected', () => {
  const step = { do: 'set-memory', name: 'area', what: 'ro' } as const;
  const done = {
    step,
    verdict: 'works',
    reason: undefined,
    by: null,
    claimed: false,
    expected: true,
  } as const;
  expect(describeStep(done)).toBe('works    set-memory area ro');
  const failed = {
    step,
    verdict: 'error',
    reason: '-12: no memory',
    by: null,
    claimed: false,
    expected: false,
  } as const;
  expect(describeStep(failed)).toBe('error    set-memory area ro: -12: no memory (expected: works)');
  const foreseen = { ...failed, step: { ...step, expect: 'error' }, expected: true } as const;
  expect(describeStep(foreseen)).toBe('error    set-memory area ro: -12: no memory (expected)');
});

test('a kind of pages is described by what most of them have first, and by where mappings and grants differ', () => {
  const pageClass = {
    name: 'kernel data',
    pages: 2925,
    mappings: new Map([
      ['r--', 1],
      ['rw-', 2924],
    ]),
    granted: new Map([['rwx', 2925]]),
    excess: 2925,
    writableAndExecutable: 2924,
    withheld: 0,
  };
  expect(describePageClass(pageClass)).toEqual({
    name: 'kernel data',
    pages: '2,925',
    mappings: '2,924 rw-, 1 r--',
    granted: 'rwx',
    finding: '2,924 writable and executable, 1 with more than any mapping has',
  });
});

test('a life whose boot failed ends with the reason, and without a table', () => {
  const result: ScenarioResult = {
    boot: 'oops',
    bootReason: 'store at 0x0: #PF 0x2 (W)',
    steps: [],
    notTaken: [],
    expectedRights: [],
    classes: [],
    rights: undefined,
    expected: false,
  };
  expect(describeScenario({ title: 'a life', machine: {}, steps: [] }, result)).toEqual([
    'a life',
    '  boot: oops: store at 0x0: #PF 0x2 (W)',
  ]);
});
