import { test as everyTest, expect } from 'vitest';
import { edgeCases, randomCases } from './testing/hostile/mutated-inputs.ts';
import { runHostile } from './testing/hostile/run-hostile.ts';

/** These take ten minutes of two processors; hostile-inputs.test.ts gives each input to one command in turn. HEKI_FUZZ=long runs them. */
const test = everyTest.runIf(process.env.HEKI_FUZZ === 'long');

test('every command reads dumps with a field of their headers at an edge', async () => {
  const found = await runHostile({ edges: (folder) => edgeCases(folder, true) });
  expect(found.get('edges')?.faults).toEqual([]);
});

test.each([2, 3, 4])('inputs that are changed at random do no harm (seed %i)', async (seed) => {
  const found = await runHostile({ random: (folder) => randomCases(folder, seed, 500) });
  expect(found.get('random')?.faults).toEqual([]);
});
