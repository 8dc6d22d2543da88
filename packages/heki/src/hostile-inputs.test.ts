import { beforeAll, describe, expect, test } from 'vitest';
import { corpusCases, generatedCases } from './testing/hostile/corpus.ts';
import { commandsInTurn } from './testing/hostile/hostile-case.ts';
import { edgeCases, randomCases } from './testing/hostile/mutated-inputs.ts';
import { faultOf } from './testing/hostile/run-batches.ts';
import { type HostileFindings, runHostile } from './testing/hostile/run-hostile.ts';

/**
 * Each dump meets some of the commands: `hostile-inputs.long.test.ts` has more of them. Every kind of input runs in the same process:
 * its start, and the first run of each command, cost as much as many inputs.
 */
const KINDS = {
  'in fixtures/hostile': (folder: string) => corpusCases(folder, commandsInTurn(2)),
  'that are devices, or too large for the tree': (folder: string) =>
    generatedCases(folder, commandsInTurn(2)),
  'that are dumps with a field of their headers at an edge': (folder: string) =>
    edgeCases(folder, commandsInTurn(1), 'one'),
  'that are real ones, changed at random': (folder: string) => randomCases(folder, 1, 40),
};

describe('no input crashes a command, hangs it, fills memory, or reaches a terminal', () => {
  let found: ReadonlyMap<string, HostileFindings> = new Map();
  beforeAll(async () => {
    found = await runHostile(KINDS, 1);
  }, 600_000);

  test.each(Object.keys(KINDS))('of those %s', (kind) => {
    const findings = found.get(kind);
    expect(findings?.faults).toEqual([]);
    expect(findings?.ran).toBe(findings?.cases);
    expect(findings?.cases).toBeGreaterThan(30);
  });
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
