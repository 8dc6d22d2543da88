import { test as everyTest, expect } from 'vitest';
import { corpusCases, generatedCases } from './testing/hostile/corpus.ts';
import { commandsInTurn, commandsOn, type HostileCase } from './testing/hostile/hostile-case.ts';
import { edgeCases, randomCases } from './testing/hostile/mutated-inputs.ts';
import { runHostile } from './testing/hostile/run-hostile.ts';

async function expectNoHarm(casesIn: (folder: string) => readonly HostileCase[]): Promise<void> {
  const found = await runHostile({ inputs: casesIn }, 2);
  expect(found.get('inputs')?.faults).toEqual([]);
}

everyTest('more commands do no harm on the dumps of hostile-inputs.test.ts', () =>
  expectNoHarm((folder) => [
    ...corpusCases(folder, commandsInTurn(10)),
    ...generatedCases(folder, commandsInTurn(10)),
  ]),
);

everyTest('each field of the headers at every edge does no harm', () =>
  expectNoHarm((folder) => edgeCases(folder, commandsInTurn(1), 'every')),
);

/** These take fifteen minutes of two processors. HEKI_FUZZ=long runs them. */
const test = everyTest.runIf(process.env.HEKI_FUZZ === 'long');

test('every command reads every dump', () =>
  expectNoHarm((folder) => [...corpusCases(folder, commandsOn), ...generatedCases(folder, commandsOn)]));

test('every command reads dumps with a field of their headers at an edge', () =>
  expectNoHarm((folder) => edgeCases(folder, commandsOn, 'every')));

test.each([2, 3, 4])('inputs that are changed at random do no harm (seed %i)', (seed) =>
  expectNoHarm((folder) => randomCases(folder, seed, 500)),
);
