import { describe, expect, test } from 'vitest';
import { type GuestState, guestMachine } from './guest-machine.ts';

describe('the Heki core of a guest', () => {
  test('does from two stories that lead to one state the same', () => {
    const machine = guestMachine();
    const known = new Map<string | number, GuestState>();
    const twins: (readonly [GuestState, GuestState])[] = [];
    const lives = (state: GuestState): [string, GuestState][] => {
      const seen: [string, GuestState][] = [];
      machine.successors(state, ({ name }, next) =>
        seen.push([`${name}: ${machine.key(next)} ${next.broken}`, next]),
      );
      return seen;
    };
    const reach = (state: GuestState): void => {
      for (const [, next] of lives(state)) {
        const other = known.get(machine.key(next));
        if (other === undefined) known.set(machine.key(next), next);
        else if (other.before !== next.before) twins.push([other, next]);
      }
    };
    reach(machine.initial());
    for (const state of [...known.values()].filter((_, index) => index % 5 === 0)) reach(state);
    expect(twins.length).toBeGreaterThan(10);
    for (const [one, other] of twins.filter((_, index) => index % 30 === 0))
      expect(lives(other).map(([text]) => text)).toEqual(lives(one).map(([text]) => text));
  });
});
