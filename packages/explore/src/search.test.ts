import { describe, expect, test } from 'vitest';
import type { Machine } from './machine.ts';
import { search } from './search.ts';

/** Counts up by one or by three, below 20; `odd` falls at 7, `far` at 12. */
const counter: Machine<number, string> = {
  name: 'counter',
  properties: [
    { id: 'odd', says: 'it is not 7' },
    { id: 'far', says: 'it is not 12' },
  ],
  initial: () => 0,
  successors(state, visit) {
    if (state + 1 < 20) visit('one', state + 1);
    if (state + 3 < 20) visit('three', state + 3);
  },
  key: (state) => state,
  broken: (state) => (state === 7 ? ['odd'] : state === 12 ? ['far'] : []),
  describe: (action) => action,
};

describe('a search', () => {
  test('finds a shortest way to each property that falls, and sees every other state', () => {
    const result = search(counter);
    expect(result.end).toBe('cut');
    expect(result.counterexamples.map(({ property, actions }) => [property, actions.length])).toEqual([
      ['odd', 3],
      ['far', 4],
    ]);
    const sum = (actions: readonly string[]): number =>
      actions.reduce((total, action) => total + (action === 'one' ? 1 : 3), 0);
    expect(result.counterexamples.map(({ actions }) => sum(actions))).toEqual([7, 12]);
    // 0 to 19: those in which something fell are states, too.
    expect(result.states).toBe(20);
  });

  test('does not go on from a state in which something fell', () => {
    const line: Machine<number, string> = {
      ...counter,
      successors(state, visit) {
        if (state < 19) visit('one', state + 1);
      },
    };
    // Nothing is known of 12, which lies behind 7.
    expect(search(line)).toMatchObject({ end: 'cut', states: 8, fallen: 1 });
    expect(search(line, { properties: ['far'] })).toMatchObject({ end: 'fallen', fallen: 1 });
    expect(search({ ...line, broken: () => [] })).toMatchObject({ end: 'closed', states: 20 });
  });

  test('ends when what was asked for has fallen, and asks of nothing else', () => {
    const result = search(counter, { properties: ['odd'] });
    expect(result).toMatchObject({ end: 'fallen', depth: 3 });
    expect(result.counterexamples.map(({ property }) => property)).toEqual(['odd']);
  });

  test('says which bound ended it', () => {
    expect(search(counter, { depth: 2 })).toMatchObject({ end: 'depth', depth: 2, counterexamples: [] });
    expect(search(counter, { states: 5 })).toMatchObject({ end: 'states', states: 5 });
    const seen: number[] = [];
    const stopped = search(counter, {
      stop: ({ states }) => {
        seen.push(states);
        return seen.length === 3;
      },
    });
    expect(stopped.end).toBe('stopped');
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test('is over at once when the first state is wrong', () => {
    const result = search({ ...counter, broken: () => ['odd'] }, { properties: ['odd'] });
    expect(result).toMatchObject({ end: 'fallen', counterexamples: [{ property: 'odd', actions: [] }] });
  });
});
