import { describe, expect, test } from 'vitest';
import { RUNS } from './runs.ts';
import { keptModels } from './values.ts';

/** A list for each combination, as z3 made them: `page-list.long.test.ts` shows that there is no other. */
describe('decodePageList, KVM and the builders answer as the formula says to', () => {
  test.each(RUNS)('$name', ({ id, combinations, answers }) => {
    const models = keptModels(id);
    expect(models.size).toBe(combinations);
    const said = [...models].map(([truths, values]) => ({ truths, ...answers(values, truths) }));
    expect(said.map(({ truths, code }) => [truths, code])).toEqual(
      said.map(({ truths, formula }) => [truths, formula]),
    );
  });
});
