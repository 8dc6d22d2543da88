import { test } from 'vitest';
import { expectHarmless } from './testing/hostile/expect-harmless.ts';
import { edgeCases, randomCases } from './testing/hostile/mutated-inputs.ts';

test('every command reads dumps with a field of their headers at an edge', () =>
  expectHarmless((folder) => edgeCases(folder, true)));

test.each([2, 3, 4])('inputs that are changed at random do no harm (seed %i)', (seed) =>
  expectHarmless((folder) => randomCases(folder, seed, 500)),
);
