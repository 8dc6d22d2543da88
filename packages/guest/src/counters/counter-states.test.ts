import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CounterStates, differenceChange, raiseChange, updateChange, ZERO_STATE } from './counter-states.ts';

describe('states of counters', () => {
  test('change by what a mapping gains and loses', () => {
    expect(updateChange(0, 3, 0)).toBe(differenceChange(1, 1, 0));
    expect(updateChange(7, 0, 7)).toBe(differenceChange(-1, -1, -1));
    expect(updateChange(3, 6, 1)).toBe(differenceChange(-1, 0, 1));
    expect(updateChange(5, 1, 2)).toBe(differenceChange(0, 0, 0));
  });

  test('are the same whenever the counters are, and stay what they are when others are forgotten', () => {
    const step = fc.oneof(
      fc.tuple(
        fc.integer({ min: -1, max: 1 }),
        fc.integer({ min: -1, max: 1 }),
        fc.integer({ min: -1, max: 1 }),
      ),
      fc.nat(7),
      fc.constant('forget' as const),
    );
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 300, size: 'max' }), (stopsAtZero, steps) => {
        const states = new CounterStates(stopsAtZero);
        const known = new Map<string, number>();
        let state = ZERO_STATE;
        let counters = [0, 0, 0];
        for (const now of steps) {
          if (now === 'forget') {
            states.retain((one) => one === state);
            known.clear();
            expect(states.size).toBe(state === ZERO_STATE ? 1 : 2);
          } else if (typeof now === 'number') {
            counters = counters.map((counter, bit) =>
              counter === 0 && (now & (1 << bit)) !== 0 ? 1 : counter,
            );
            state = states.next(raiseChange(now), state);
          } else {
            counters = counters.map((counter, bit) =>
              stopsAtZero ? Math.max(0, counter + (now[bit] ?? 0)) : counter + (now[bit] ?? 0),
            );
            state = states.next(differenceChange(...now), state);
          }
          expect(Object.values(states.counters(state))).toEqual(counters);
          const present = counters.reduce((bits, counter, bit) => bits | (counter === 0 ? 0 : 1 << bit), 0);
          expect(states.permissions(state)).toBe(present === 0 ? 3 : present);
          const same = known.get(counters.join());
          if (same !== undefined) expect(state).toBe(same);
          known.set(counters.join(), state);
        }
      }),
    );
  });

  test('wrap as signed 32-bit numbers do', () => {
    const states = new CounterStates(false);
    let state = ZERO_STATE;
    for (let times = 0; times < 3; times++) state = states.next(differenceChange(-1, 0, 0), state);
    expect(states.counters(state)).toEqual({ read: -3, write: 0, execute: 0 });
    expect(states.permissions(state)).toBe(1);
  });
});
