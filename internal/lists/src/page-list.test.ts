import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coreSends } from './run-builder.ts';
import { decoderSays, encoded, entryOf, kvmSays } from './run-model.ts';
import { createSolver, type Solver } from './solver.ts';

let solver: Solver;
beforeAll(async () => {
  solver = await createSolver();
}, 60_000);
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

/** Runs each combination of `truths` that there is within `scope`; the number of them. What `built` names is written by the builder, too. */
async function runAll(
  scope: string,
  truths: readonly string[],
  built: readonly string[] = [],
): Promise<number> {
  let combinations = 0;
  const answers = '(= decoder decoder-says) (= kvm kvm-says)';
  for await (const values of solver.models(`(and is-list ${answers} ${scope})`, truths)) {
    combinations++;
    const says = (name: string) => Number(BigInt.asIntN(16, values.get(name) ?? 0n));
    const model = [...values].map(([name, value]) => `${name} 0x${value.toString(16)}`).join(', ');
    expect({ decoder: decoderSays(values), kvm: kvmSays(values) }, model).toEqual({
      decoder: says('decoder'),
      kvm: says('kvm'),
    });
    if (built.length > 0) {
      const fields = built.flatMap((entry) => entryOf(values, entry));
      expect(encoded(values, built), model).toEqual([BigInt(built.length), ...fields]);
    }
  }
  return combinations;
}

const isSound = (entry: string): string =>
  `(= (kvm-entry ${entry}-pa ${entry}-epa ${entry}-permissions) (_ bv0 16))`;

const ONE_ENTRY =
  '(= list page-a) (= count-a (_ bv1 64)) (= next-a (_ bv0 64)) (= next-b (_ bv0 64)) (= count-b (_ bv0 64))';

describe('decodePageList and KVM answer as the formula says to', () => {
  test('every way in which pages lead to each other, or do not', async () => {
    const address = (name: string, isRead: string): string[] =>
      [
        `(= ${name} (_ bv0 64))`,
        `(aligned ${name})`,
        `(is-address ${name})`,
        `(is-zeroes ${name})`,
        `(= ${name} page-a)`,
        `(= ${name} page-b)`,
      ].map((truth) => `(and ${isRead} ${truth})`);
    const combinations = await runAll(`${isSound('a0')} ${isSound('a1')} ${isSound('b0')}`, [
      ...address('list', 'true'),
      ...address('next-a', '(and reads-a (bvule count-a most))'),
      ...address('next-b', '(and reads-b (bvule count-a most) (bvule count-b most))'),
      '(and reads-a (= count-a (_ bv0 64)))',
      '(and reads-a (bvugt count-a most))',
      'uses-a1',
      'uses-b0',
      '(and reads-b (bvugt count-b most))',
    ]);
    expect(combinations).toBe(72);
  });

  test('every range that an entry can have, at the bounds of all numbers', async () => {
    const combinations = await runAll(`${ONE_ENTRY} (= a0-permissions (_ bv1 64))`, [
      '(aligned a0-pa)',
      '(bvuge (wide a0-pa) two-to-52)',
      '(= (double a0-pa) (wide a0-pa))',
      '(aligned a0-epa)',
      '(bvugt (wide a0-epa) two-to-52)',
      '(= (wide a0-epa) two-to-52)',
      '(= (double a0-epa) (wide a0-epa))',
      '(bvult a0-pa a0-epa)',
      '(= a0-pa a0-epa)',
      '(has-memory a0-pa a0-epa)',
    ]);
    expect(combinations).toBe(65);
  });

  test('all permissions that an entry can ask for', async () => {
    const combinations = await runAll(`${ONE_ENTRY} (= a0-pa page-a) (= a0-epa page-b)`, [
      ...Array.from({ length: 5 }, (_, bit) => `(= ((_ extract ${bit} ${bit}) a0-permissions) #b1)`),
      '(= ((_ extract 31 5) a0-permissions) (_ bv0 27))',
      '(= (high a0-permissions) (_ bv0 32))',
    ]);
    expect(combinations).toBe(2 ** 7);
  });

  test.each([
    ['in one page', 'a0', 'a1', '(= count-a (_ bv2 64)) (= next-a (_ bv0 64)) (= count-b (_ bv0 64))'],
    ['in two pages', 'b0', 'a0', '(= count-a (_ bv1 64)) (= next-a page-b) (= count-b (_ bv1 64))'],
  ])(
    'two entries %s, wrong or not, and every way in which their ranges can lie',
    async (_where, x, y, shape) => {
      const scope = `(= list page-a) (= next-b (_ bv0 64)) ${shape}`;
      const wrong = [x, y].flatMap((entry) => [`(= fault-${entry} (_ bv0 16))`, isSound(entry)]);
      expect(await runAll(scope, wrong)).toBe(9);
      const ways = await runAll(
        `${scope} ${isSound(x)} ${isSound(y)}`,
        [
          `(immutable ${x}-permissions)`,
          `(immutable ${y}-permissions)`,
          `(bvult ${x}-pa ${y}-pa)`,
          `(= ${x}-pa ${y}-pa)`,
          `(bvult ${x}-epa ${y}-epa)`,
          `(= ${x}-epa ${y}-epa)`,
          `(bvult ${x}-epa ${y}-pa)`,
          `(= ${x}-epa ${y}-pa)`,
          `(bvult ${y}-epa ${x}-pa)`,
          `(= ${y}-epa ${x}-pa)`,
        ],
        [x, y],
      );
      // The 13 relations of two intervals, four times.
      expect(ways).toBe(52);
    },
  );
});

describe("the Heki core's builder", () => {
  test('makes one entry of two leaves exactly when the second follows on with the same permissions', async () => {
    // Pages that are rw- anyway are not sent.
    const leaf = (entry: string): string =>
      `(and (aligned ${entry}-pa) (aligned ${entry}-epa) (bvult ${entry}-pa ${entry}-epa) (bvule ${entry}-epa memory-end)
            (bvule (bvsub ${entry}-epa ${entry}-pa) #x0000000000004000)
            (or (= ${entry}-permissions (_ bv1 64)) (= ${entry}-permissions (_ bv5 64))))`;
    const apart = '(not (overlap a0-pa a0-epa a1-pa a1-epa))';
    const merges = '(and (= a0-epa a1-pa) (= a0-permissions a1-permissions))';
    let combinations = 0;
    for await (const values of solver.models(`(and ${leaf('a0')} ${leaf('a1')} ${apart})`, [
      merges,
      '(= a0-epa a1-pa)',
      '(= a1-epa a0-pa)',
      '(bvult a0-pa a1-pa)',
      '(= a1-epa memory-end)',
      '(bvuge a0-pa #x0000008000000000)',
      '(= a0-permissions a1-permissions)',
    ])) {
      combinations++;
      const [first, second] = [entryOf(values, 'a0'), entryOf(values, 'a1')];
      const [pa = 0n, , permissions = 0n] = first;
      const isOne = values.get('truth-0') === 1n;
      expect(coreSends(values, ['a0', 'a1'])).toEqual(
        isOne ? [pa, second[1], permissions] : [...first, ...second],
      );
    }
    expect(combinations).toBe(22);
  });
});
