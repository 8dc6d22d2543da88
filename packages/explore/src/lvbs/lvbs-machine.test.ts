import { createHyperv, type LvbsDefectId } from '@heki/hyperv';
import { expect, test } from 'vitest';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { lvbsMachine } from './lvbs-machine.ts';

const lvbs = (defect?: LvbsDefectId, options = {}) =>
  lvbsMachine(
    'lvbs',
    () => createHyperv({ defects: defect === undefined ? {} : { [defect]: true } }),
    options,
  );

test.each<[LvbsDefectId, property: string, steps: number]>([
  ['B-L1', 'P6', 2],
  ['B-L2', 'RO', 2],
  ['B-L3', 'P6', 2],
  ['B-L4', 'LEFT', 2],
  ['B-L5', 'P6', 2],
  ['B-L6', 'P6', 1],
])(
  '%s breaks %s in %i steps, which is found without being told, and not without it',
  (defect, property, steps) => {
    const { counterexamples } = search(lvbs(defect), { depth: 2, properties: [property] });
    expect(counterexamples.map((found) => [found.property, found.actions.length])).toEqual([
      [property, steps],
    ]);
    const story = counterexamples[0]?.actions.map(({ name }) => name) ?? [];
    expect(replay(lvbs(), story)).toEqual({ steps, broken: [] });
  },
);

test('with its holes closed nothing falls in all that VTL0 may do in one step', () => {
  const { end, counterexamples } = search(lvbs(), { depth: 1 });
  expect([end, counterexamples]).toEqual(['depth', []]);
});

test('a secure kernel that is brought back goes on as one that comes there from its boot', () => {
  const load = 'VTL0 asks for the module';
  const seen = (retold: boolean): string[] => {
    const machine = lvbs(undefined, { retold });
    const keys: string[] = [];
    const from = (state: ReturnType<typeof machine.initial>): (typeof state)[] => {
      const reached: (typeof state)[] = [];
      machine.successors(state, ({ name }, next) => {
        keys.push(`${name}: ${next.key}`);
        if (name === load) reached.push(next);
      });
      return reached;
    };
    for (const loaded of from(machine.initial())) from(loaded);
    return keys;
  };
  const brought = seen(false);
  expect(brought.length).toBeGreaterThan(80);
  expect(brought).toEqual(seen(true));
});
