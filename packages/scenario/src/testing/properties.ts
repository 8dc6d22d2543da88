import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Property } from './invariants.ts';
import { CLOSELY, DEBIAN, type Defects, live, PROCESSORS, type Setting, SMALL } from './live.ts';
import { type Choice, randomLives } from './random-life.ts';

const PUBLISHED: Setting = { ...SMALL, profile: 'rfc-v2' };

/** Most lives are cheap ones. */
const settings = fc.constantFrom(DEBIAN, CLOSELY, CLOSELY, ...Array<Setting>(17).fill(SMALL));

const PROPERTIES: readonly (readonly [Property, string])[] = [
  ['P1', 'no page is writable and executable unless its mappings are'],
  ['P2', 'the second level grants what the counters say'],
  ['P3', 'what is immutable stays as it is'],
  ['P4', 'whatever the guest sends, the host comes to no harm'],
  ['P5', 'the counters count the mappings that there are'],
];

/** Defects that break a property, each by itself. */
export const BREAKING = [
  'B-G1',
  'B-G5',
  'B-G6',
  'B-G4',
  'B-H1',
  'B-H2',
  'B-H3',
  'B-H4',
  'B-H5',
  'B-H8',
] as const;

/**
 * The properties, held to random lives.
 *
 * @param runs how many lives with the defects mended
 * @param alone the defects that a cheap look and a close one are compared by
 */
export function describeProperties(runs: number, alone: readonly (typeof BREAKING)[number][]): void {
  test('with the defects mended all properties hold in every life, after every step', () => {
    fc.assert(
      fc.property(randomLives(30, PROCESSORS), settings, (choices, setting) => {
        const { steps, violations } = live(choices, setting);
        expect(violations, JSON.stringify(steps)).toEqual([]);
      }),
      { numRuns: runs },
    );
  }, 3_600_000);

  test.each(PROPERTIES.filter(([property]) => property !== 'P3'))(
    'under the published series %s does not hold: %s',
    (property, text) => {
      // One step is enough for each of them.
      const breaks = (choices: readonly Choice[]): boolean =>
        live(choices, PUBLISHED).violations.some((violation) => violation.property === property);
      const { counterexample } = fc.check(
        fc.property(randomLives(1, PROCESSORS), (choices) => !breaks(choices)),
        { numRuns: 200, seed: 1, endOnFailure: true },
      );
      if (counterexample === null) throw new Error('no life breaks it');
      const { steps, violations } = live(counterexample[0], PUBLISHED);
      const where = violations.find((violation) => violation.property === property)?.text;
      const life = ['boot', ...steps.map((step) => JSON.stringify(step))].join(', ');
      console.log(`${property}, ${text}: broken by ${life}\n  ${where}`);
    },
  );

  test('even under the published series P3 holds: what is stored for an immutable page never changes', () => {
    fc.assert(
      fc.property(randomLives(20, PROCESSORS), (choices) => {
        expect(live(choices, PUBLISHED).violations.filter(({ property }) => property === 'P3')).toEqual([]);
      }),
      { numRuns: 5 },
    );
  });

  describe('a cheap look finds what a close one finds: the defect', () => {
    const hostile = [0, 1, 2, 3].flatMap((which) =>
      [9, 61].map((how): Choice[] => [{ kind: 'hostile-list', which, how, cpu: 1 }]),
    );
    const lives = [...hostile, ...fc.sample(randomLives(14, PROCESSORS), { numRuns: 5, seed: 3 })];
    test.each(alone)('%s, alone, in the same lives', (id) => {
      const defects: Defects = { [id]: true };
      const broken = (setting: Setting) =>
        lives.map((choices) => {
          const { violations } = live(choices, { ...setting, defects });
          return violations.map(({ property }) => property).sort();
        });
      const found = broken(SMALL);
      expect(found).toEqual(broken(CLOSELY));
      expect(found.flat().length).toBeGreaterThan(0);
    });
  });
}
