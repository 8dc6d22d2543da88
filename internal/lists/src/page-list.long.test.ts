import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUNS } from './runs.ts';
import { createSolver, type Solver } from './solver.ts';
import { keptModels, modelsFile, textOf, type Values } from './values.ts';

let solver: Solver;
beforeAll(async () => {
  solver = await createSolver();
});
afterAll(() => solver.end());

describe('for every 64-bit value', () => {
  test.each([
    [
      'decodePageList, in doubles that round, finds the same wrong field of an entry as integers do',
      '(= (decoder-fault pa epa permissions) (entry-fault pa epa permissions))',
    ],
    [
      'KVM accepts the same entries as integers do, frame by frame',
      '(= (kvm-entry-code pa epa permissions) (kvm-entry pa epa permissions))',
    ],
    ['a frame is exact in a double', '(bvult (kvm-frame pa) (bvshl (_ bv1 72) (_ bv53 72)))'],
    ['the address of a page is exact in a double', '(=> (aligned pa) (= (double pa) (wide pa)))'],
    [
      'a count is never rounded to one that a page has, nor the other way round',
      '(= (bvugt (double pa) (_ bv169 72)) (bvugt pa (_ bv169 64)))',
    ],
    [
      'an accepted entry covers a frame at least, and no more than there are',
      `(=> (= (entry-fault pa epa permissions) (_ bv0 16))
           (and (bvult (kvm-frame pa) (kvm-frame epa)) (bvule (bvsub (kvm-frame epa) (kvm-frame pa)) frame-end)))`,
    ],
    [
      'as many entries as a page may say that it has end within it',
      '(=> (bvule pa (_ bv169 64)) (bvule (bvadd (_ bv24 72) (bvmul (wide pa) (_ bv24 72))) (_ bv4096 72)))',
    ],
  ])('%s', async (_what, formula) => {
    expect(await solver.isValid(formula)).toBe(true);
  });

  test('what does not hold is found: the size of entries wraps where their count is not looked at (B-H2)', async () => {
    const fits = '(bvule (bvmul (_ bv24 64) pa) (_ bv4072 64))';
    expect(await solver.isValid(`(=> ${fits} (bvule pa (_ bv169 64)))`)).toBe(false);
  });
});

describe('decodePageList, KVM and the builders answer as the formula says to', () => {
  // A list that is kept stays, so that another z3, which makes others, changes nothing. When the formula changes, delete `models` and run
  // this with --update.
  test.each(RUNS)('$name', async ({ id, scope, truths, combinations, answers }) => {
    const kept = keptModels(id);
    const models = new Map<string, Values>();
    for await (const [combination, values] of solver.models(scope, truths)) {
      const { code, formula } = answers(values, combination);
      expect(code, `${combination} ${textOf(new Map([[combination, values]]))}`).toEqual(formula);
      models.set(combination, kept.get(combination) ?? values);
    }
    expect(models.size).toBe(combinations);
    await expect(textOf(models)).toMatchFileSnapshot(modelsFile(id).pathname);
  });
});
