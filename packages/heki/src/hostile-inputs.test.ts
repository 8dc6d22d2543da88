import { describe, expect, test } from 'vitest';
import { corpusCases, generatedCases } from './testing/hostile/corpus.ts';
import { expectHarmless } from './testing/hostile/expect-harmless.ts';
import { edgeCases, randomCases } from './testing/hostile/mutated-inputs.ts';
import { faultOf } from './testing/hostile/run-batches.ts';

describe('no input crashes a command, hangs it, fills memory, or reaches a terminal', () => {
  test('of those in fixtures/hostile', () => expectHarmless(corpusCases), 300_000);

  test('of devices, pipes, and files too large for the tree', () => expectHarmless(generatedCases), 300_000);

  test(
    'of dumps with a field of their headers at an edge',
    () => expectHarmless((folder) => edgeCases(folder, false)),
    300_000,
  );

  test(
    'of real ones that are changed at random',
    () => expectHarmless((folder) => randomCases(folder, 1, 120)),
    300_000,
  );
});

test('each of these is seen', () => {
  const harmless = {
    args: [],
    exitCode: 0,
    stdout: '',
    stderr: '',
    control: false,
    seconds: 1,
    peakMebibytes: 99,
  };
  expect(faultOf(harmless)).toBeUndefined();
  for (const harm of [
    { exitCode: undefined },
    { exitCode: 134 },
    { exitCode: 1, stderr: 'heki: internal error: TypeError: x' },
    { exitCode: 3, stderr: 'Error: x\n    at file.js:1:1' },
    { exitCode: 3 },
    { control: true },
    { seconds: 11 },
    { peakMebibytes: 513 },
  ]) {
    expect(faultOf({ ...harmless, ...harm })).toBeDefined();
  }
});
