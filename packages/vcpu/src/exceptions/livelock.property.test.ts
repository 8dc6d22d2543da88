import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { VmExit } from '../exit.ts';
import type { Turn } from '../outcome.ts';
import { TurnHistory } from './livelock.ts';

const exception = fc.record({
  vector: fc.constantFrom(13, 14),
  errorCode: fc.constantFrom(0, 3),
});
const turn: fc.Arbitrary<Turn> = fc.oneof(
  fc.record({
    kind: fc.constant('exit' as const),
    exit: fc.constantFrom<VmExit>(
      { reason: 'hypercall' },
      { reason: 'rdmsr', msr: 1 },
      { reason: 'rdmsr', msr: 2 },
    ),
    action: fc.oneof(
      fc.constantFrom<{ kind: 'resume' } | { kind: 'skip' }>({ kind: 'resume' }, { kind: 'skip' }),
      fc.record({ kind: fc.constant('inject' as const), exception }),
    ),
  }),
  fc.record({
    kind: fc.constant('exception' as const),
    exception,
    decision: fc.constantFrom('retry' as const, 'fixup' as const),
  }),
);
/** Some turns, and then a cycle over and over, with now and then another turn in between. */
const life = fc
  .record({
    before: fc.array(turn, { maxLength: 6 }),
    cycle: fc.array(turn, { minLength: 1, maxLength: 10 }),
    times: fc.integer({ min: 1, max: 6 }),
    slip: fc.option(fc.tuple(fc.nat(40), turn), { nil: undefined }),
  })
  .map(({ before, cycle, times, slip }) => {
    const turns = [...before, ...Array.from({ length: times }, () => cycle).flat()];
    if (slip !== undefined && slip[0] < turns.length) turns[slip[0]] = slip[1];
    return turns;
  });

/** The shortest period of at most 8 turns that the history ends with four times over. */
function cycleSlowly(turns: readonly Turn[]): readonly Turn[] | undefined {
  const texts = turns.map((each) => JSON.stringify(each));
  for (let period = 1; period <= 8; period++) {
    const last = texts.slice(-4 * period);
    if (last.length < 4 * period) continue;
    if (last.every((text, i) => text === last[i % period])) return turns.slice(-period);
  }
  return undefined;
}

test('a cycle of up to eight turns is seen when it ends for the fourth time, and nothing else is one', () => {
  let cycles = 0;
  fc.assert(
    fc.property(life, fc.option(fc.nat(20), { nil: undefined }), (turns, cleared) => {
      const history = new TurnHistory();
      let since: Turn[] = [];
      for (const [i, each] of turns.entries()) {
        if (i === cleared) {
          history.clear();
          since = [];
        }
        since.push(each);
        const cycle = cycleSlowly(since);
        if (cycle !== undefined) cycles++;
        expect(history.add(each)).toEqual(
          cycle === undefined ? undefined : { kind: 'livelock', cycle, repetitions: 4 },
        );
        if (cycle !== undefined) return;
      }
    }),
    { numRuns: 400 },
  );
  expect(cycles).toBeGreaterThan(0);
});

test('512 turns in which nothing repeats itself are given up, and what came before progress does not count', () => {
  const at = (msr: number): Turn => ({
    kind: 'exit',
    exit: { reason: 'rdmsr', msr },
    action: { kind: 'resume' },
  });
  const history = new TurnHistory();
  for (let i = 0; i < 511; i++) expect(history.add(at(i))).toBeUndefined();
  history.clear();
  for (let i = 0; i < 511; i++) expect(history.add(at(i))).toBeUndefined();
  const cycle = Array.from({ length: 8 }, (_, i) => at(504 + i));
  expect(history.add(at(511))).toEqual({ kind: 'livelock', cycle, repetitions: 1 });
});
