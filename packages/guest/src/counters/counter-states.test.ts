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
      fc.property(fc.boolean(), fc.array(step, { maxLength: 300, size: 'max' }), (published, steps) => {
        const states = new CounterStates(published);
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
            state = states.next(raiseChange(now), state, 1);
          } else {
            counters = counters.map((counter, bit) =>
              published ? counter + (now[bit] ?? 0) : Math.max(0, counter + (now[bit] ?? 0)),
            );
            state = states.next(differenceChange(...now), state, 1);
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

  test('change many times at once as they do one by one', () => {
    const difference = fc.integer({ min: -1, max: 1 });
    const step = fc.oneof(fc.tuple(difference, difference, difference), fc.nat(7));
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.tuple(step, fc.nat(40))), (published, steps) => {
        const states = new CounterStates(published);
        let [atOnce, oneByOne] = [ZERO_STATE, ZERO_STATE];
        for (const [now, times] of steps) {
          const change = typeof now === 'number' ? raiseChange(now) : differenceChange(...now);
          if (times > 0) atOnce = states.next(change, atOnce, times);
          for (let time = 0; time < times; time++) oneByOne = states.next(change, oneByOne, 1);
          expect(atOnce).toBe(oneByOne);
        }
      }),
    );
  });

  test('wrap as signed 32-bit numbers do, as published', () => {
    const states = new CounterStates(true);
    const down = states.next(differenceChange(-1, 0, 0), ZERO_STATE, 3);
    expect(states.counters(down)).toEqual({ read: -3, write: 0, execute: 0 });
    expect(states.permissions(down)).toBe(1);
    const many = states.next(differenceChange(1, 0, 0), ZERO_STATE, 2 ** 31);
    expect(states.counters(many)).toEqual({ read: -(2 ** 31), write: 0, execute: 0 });
    // Mapped 2^32 times, read-only, and nothing is left of it: a page that no mapping speaks for may be written.
    const wrapped = states.next(differenceChange(1, 0, 0), many, 2 ** 31);
    expect(wrapped).toBe(ZERO_STATE);
    expect(states.permissions(wrapped)).toBe(3);
  });

  test('hold as many mappings as an address space has room for, where that is mended', () => {
    const states = new CounterStates(false);
    const many = states.next(differenceChange(1, 0, 0), ZERO_STATE, 2 ** 44 + 1);
    expect(states.counters(many)).toEqual({ read: 2 ** 44 + 1, write: 0, execute: 0 });
    expect(states.next(differenceChange(-1, 0, 0), many, 2 ** 44 + 2)).toBe(ZERO_STATE);
  });
});
