import { createHyperv, type LvbsDefectId } from '@heki/hyperv';
import { expect, test } from 'vitest';
import { search } from '../search.ts';
import { lvbsMachine } from './lvbs-machine.ts';

const lvbs = (defect?: LvbsDefectId) =>
  lvbsMachine('lvbs', () => createHyperv({ defects: defect === undefined ? {} : { [defect]: true } }));

test.each<[LvbsDefectId, property: string, steps: number]>([
  ['B-L1', 'P6', 2],
  ['B-L2', 'RO', 2],
  ['B-L3', 'P6', 2],
  ['B-L4', 'LEFT', 2],
  ['B-L5', 'P6', 2],
  ['B-L6', 'P6', 1],
])('%s breaks %s in %i steps, which is found without being told', (defect, property, steps) => {
  const { counterexamples } = search(lvbs(defect), { depth: 2, properties: [property] });
  expect(counterexamples.map((found) => [found.property, found.actions.length])).toEqual([[property, steps]]);
});

test('with its holes closed nothing falls in all that VTL0 may do in one step', () => {
  const { end, counterexamples } = search(lvbs(), { depth: 1 });
  expect([end, counterexamples]).toEqual(['depth', []]);
});
