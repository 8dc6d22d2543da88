import { describe, expect, test } from 'vitest';
import { search } from '../search.ts';
import { BACKEND_MACHINES, kvmMachine } from '../testing/backend-machines.ts';
import type { BackendState } from './backend-machine.ts';

describe('a backend', () => {
  test.each(BACKEND_MACHINES)('does from two stories that lead to one state the same: %s', (_, make) => {
    const machine = make();
    const first = new Map<string | number, BackendState>();
    const twins: (readonly [BackendState, BackendState])[] = [];
    const reach = (from: BackendState): BackendState[] => {
      const reached: BackendState[] = [];
      machine.successors(from, (_, state) => reached.push(state));
      for (const state of reached) {
        const known = first.get(state.key);
        if (known === undefined) first.set(state.key, state);
        else if (state.before !== known.before) twins.push([known, state]);
      }
      return reached;
    };
    for (const state of reach(machine.initial()).filter((_, index) => index % 6 === 0)) reach(state);
    const lives = (state: BackendState): string[] => {
      const seen: string[] = [];
      machine.successors(state, ({ name }, next) =>
        seen.push(`${name}: ${next.key} ${machine.broken(next)}`),
      );
      return seen;
    };
    expect(twins.length).toBeGreaterThan(20);
    for (const [one, other] of twins.filter((_, index) => index % 12 === 0))
      expect(lives(other)).toEqual(lives(one));
  });

  test('that saves goes on elsewhere, whatever is done next, as it would here', () => {
    const { end, counterexamples } = search(kvmMachine('hardened', undefined, { squares: true }), {
      depth: 2,
      properties: ['P9', 'P13'],
    });
    expect([end, counterexamples]).toEqual(['depth', []]);
  });
});
