import { coreSends } from './run-builder.ts';
import { decoderSays, encoded, entryOf, kvmSays } from './run-model.ts';
import type { Values } from './values.ts';

/** A question to the code for each combination of truths that a list can have. */
export interface Run {
  readonly id: string;
  readonly name: string;
  /** What holds of all lists of the run. */
  readonly scope: string;
  /** What of a list makes a difference. */
  readonly truths: readonly string[];
  /** How many combinations of them there are. */
  readonly combinations: number;
  /** What the code makes of a model of the combination `truths`, and what the formula says of it. */
  answers(values: Values, truths: string): { readonly code: unknown; readonly formula: unknown };
}

/** A run of both readers, and of the builder for the entries `built`. */
function readers(run: Omit<Run, 'answers'>, built: readonly string[] = []): Run {
  const says = (values: Values, name: string) => Number(BigInt.asIntN(16, values.get(name) ?? 0n));
  return {
    ...run,
    scope: `(and is-list (= decoder decoder-says) (= kvm kvm-says) ${run.scope})`,
    answers: (values) => ({
      code: [decoderSays(values), kvmSays(values), ...(built.length > 0 ? encoded(values, built) : [])],
      formula: [
        says(values, 'decoder'),
        says(values, 'kvm'),
        ...(built.length > 0 ? [BigInt(built.length)] : []),
        ...built.flatMap((entry) => entryOf(values, entry)),
      ],
    }),
  };
}

const isSound = (entry: string): string =>
  `(= (kvm-entry ${entry}-pa ${entry}-epa ${entry}-permissions) (_ bv0 16))`;

const ONE_ENTRY =
  '(= list page-a) (= count-a (_ bv1 64)) (= next-a (_ bv0 64)) (= next-b (_ bv0 64)) (= count-b (_ bv0 64))';

const address = (name: string, isRead: string): string[] =>
  [
    `(= ${name} (_ bv0 64))`,
    `(aligned ${name})`,
    `(is-address ${name})`,
    `(is-zeroes ${name})`,
    `(= ${name} page-a)`,
    `(= ${name} page-b)`,
  ].map((truth) => `(and ${isRead} ${truth})`);

const PAGES = readers({
  id: 'pages',
  name: 'every way in which pages lead to each other, or do not',
  scope: `${isSound('a0')} ${isSound('a1')} ${isSound('b0')}`,
  truths: [
    ...address('list', 'true'),
    ...address('next-a', '(and reads-a (bvule count-a most))'),
    ...address('next-b', '(and reads-b (bvule count-a most) (bvule count-b most))'),
    '(and reads-a (= count-a (_ bv0 64)))',
    '(and reads-a (bvugt count-a most))',
    'uses-a1',
    'uses-b0',
    '(and reads-b (bvugt count-b most))',
  ],
  combinations: 72,
});

const RANGE = readers({
  id: 'range',
  name: 'every range that an entry can have, at the bounds of all numbers',
  scope: `${ONE_ENTRY} (= a0-permissions (_ bv1 64))`,
  truths: [
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
  ],
  combinations: 65,
});

const PERMISSIONS = readers({
  id: 'permissions',
  name: 'all permissions that an entry can ask for',
  scope: `${ONE_ENTRY} (= a0-pa page-a) (= a0-epa page-b)`,
  truths: [
    ...Array.from({ length: 5 }, (_, bit) => `(= ((_ extract ${bit} ${bit}) a0-permissions) #b1)`),
    '(= ((_ extract 31 5) a0-permissions) (_ bv0 27))',
    '(= (high a0-permissions) (_ bv0 32))',
  ],
  combinations: 2 ** 7,
});

/** Two entries, `x` and `y`, where the lists are of this shape. */
function twoEntries(where: string, x: string, y: string, shape: string): Run[] {
  const scope = `(= list page-a) (= next-b (_ bv0 64)) ${shape}`;
  const faulty = readers({
    id: `faulty-in-${where}`,
    name: `two entries in ${where}, wrong or not`,
    scope,
    truths: [x, y].flatMap((entry) => [`(= fault-${entry} (_ bv0 16))`, isSound(entry)]),
    combinations: 9,
  });
  const sound = {
    id: `sound-in-${where}`,
    name: `every way in which the ranges of two entries in ${where} can lie`,
    scope: `${scope} ${isSound(x)} ${isSound(y)}`,
    truths: [
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
    // The 13 relations of two intervals, four times.
    combinations: 52,
  };
  return [faulty, readers(sound, [x, y])];
}

/** Of the builder of the Heki core: pages that are rw- anyway are not sent. */
const leaf = (entry: string): string =>
  `(and (aligned ${entry}-pa) (aligned ${entry}-epa) (bvult ${entry}-pa ${entry}-epa) (bvule ${entry}-epa memory-end)
        (bvule (bvsub ${entry}-epa ${entry}-pa) #x0000000000004000)
        (or (= ${entry}-permissions (_ bv1 64)) (= ${entry}-permissions (_ bv5 64))))`;

const LEAVES: Run = {
  id: 'leaves',
  name: 'two leaves of which the Heki core makes one entry exactly when the second follows on with the same permissions',
  scope: `(and ${leaf('a0')} ${leaf('a1')} (not (overlap a0-pa a0-epa a1-pa a1-epa)))`,
  truths: [
    '(and (= a0-epa a1-pa) (= a0-permissions a1-permissions))',
    '(= a0-epa a1-pa)',
    '(= a1-epa a0-pa)',
    '(bvult a0-pa a1-pa)',
    '(= a1-epa memory-end)',
    '(bvuge a0-pa #x0000008000000000)',
    '(= a0-permissions a1-permissions)',
  ],
  combinations: 22,
  answers(values, truths) {
    const [first, second] = [entryOf(values, 'a0'), entryOf(values, 'a1')];
    const [pa = 0n, , permissions = 0n] = first;
    const isOne = truths.startsWith('1');
    return {
      code: coreSends(values, ['a0', 'a1']),
      formula: isOne ? [pa, second[1], permissions] : [...first, ...second],
    };
  },
};

export const RUNS: readonly Run[] = [
  PAGES,
  RANGE,
  PERMISSIONS,
  ...twoEntries(
    'one-page',
    'a0',
    'a1',
    '(= count-a (_ bv2 64)) (= next-a (_ bv0 64)) (= count-b (_ bv0 64))',
  ),
  ...twoEntries('two-pages', 'b0', 'a0', '(= count-a (_ bv1 64)) (= next-a page-b) (= count-b (_ bv1 64))'),
  LEAVES,
];
