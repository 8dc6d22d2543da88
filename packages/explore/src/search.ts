import type { Machine } from './machine.ts';
import { SearchRecord } from './search-record.ts';
import type { Bounds, SearchResult } from './search-result.ts';

const MOST_STATES = 1_000_000;

/** The record of a search of `machine` that has not begun. */
export function recordFor(
  { properties }: Pick<Machine<never, never>, 'properties'>,
  bounds: Bounds,
): ConstructorParameters<typeof SearchRecord>[0] {
  return {
    wanted: new Set(bounds.properties ?? properties.map(({ id }) => id)),
    endsFallen: bounds.properties !== undefined,
    depth: bounds.depth ?? Number.POSITIVE_INFINITY,
    states: bounds.states ?? MOST_STATES,
  };
}

/**
 * Looks at every state that `machine` can reach, nearest first, so that the first way to a state in which a property does not hold is
 * a shortest one. A state in which one has fallen is not followed further: what an attacker does after he has won shows nothing.
 */
export function search<State, Action>(
  machine: Machine<State, Action>,
  bounds: Bounds = {},
): SearchResult<Action> {
  const limits = recordFor(machine, bounds);
  const { wanted } = limits;
  const record = new SearchRecord<Action>(limits);
  /** The states of this depth, and of the next. */
  let states: State[] = [];
  let next: State[] = [];
  const reach = (state: State, from: number, action: Action | undefined): void => {
    const key = machine.key(state);
    if (record.reach(key, from, action, () => machine.broken(state, wanted))) next.push(state);
  };

  reach(machine.initial(), 0, undefined);
  for (;;) {
    const end = record.advance();
    if (end !== undefined) return record.result(end);
    if (record.position === 0) [states, next] = [next, []];
    const state = states[record.position];
    const { current } = record;
    if (state !== undefined) machine.successors(state, (action, to) => reach(to, current, action));
    record.looked();
    const ended = record.end;
    if (ended !== undefined) return record.result(ended);
    if (bounds.stop?.(record.progress) === true) return record.result('stopped');
  }
}
