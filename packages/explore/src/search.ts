import type { Machine } from './machine.ts';

/** Where a search ends that does not run out of states. */
export interface Bounds {
  /** Most actions in a row. Default: no bound. */
  readonly depth?: number | undefined;
  /** Most states kept. A state is a key, two numbers and an action: about 100 bytes and its key. Default 1,000,000. */
  readonly states?: number | undefined;
  /** Only these properties, by id; the search ends when each has fallen. Default all, and it goes on. */
  readonly properties?: readonly string[] | undefined;
  /** Asked after every state: `true` ends the search, for whoever has a clock or a user who loses patience. */
  readonly stop?: ((progress: Progress) => boolean) | undefined;
}

/** How far a search is. */
export interface Progress {
  readonly states: number;
  readonly transitions: number;
  /** Actions from the initial state to those that are being looked at. */
  readonly depth: number;
  /** States that were reached and not looked at yet. */
  readonly frontier: number;
  /** Properties that have fallen. */
  readonly fallen: number;
}

/** The shortest way to a state in which a property does not hold. */
export interface Counterexample<Action> {
  readonly property: string;
  readonly actions: readonly Action[];
}

/** What a search has seen. */
export interface SearchResult<Action> extends Progress {
  /**
   * - `closed`: every state that can be reached was looked at; what did not fall holds for this machine
   * - `fallen`: all properties that were asked for have fallen
   * - `depth`, `states`, `stopped`: a bound was met, and nothing is known of what lies behind
   */
  readonly end: 'closed' | 'fallen' | 'depth' | 'states' | 'stopped';
  /** One for each property that fell, in the order in which they fell. */
  readonly counterexamples: readonly Counterexample<Action>[];
}

const MOST_STATES = 1_000_000;

/**
 * Looks at every state that `machine` can reach, nearest first, so that the first way to a state in which a property does not hold is
 * a shortest one. A state in which one has fallen is not followed further: what an attacker does after he has won shows nothing.
 */
export function search<State, Action>(
  machine: Machine<State, Action>,
  bounds: Bounds = {},
): SearchResult<Action> {
  const { depth: deepest = Number.POSITIVE_INFINITY, states: most = MOST_STATES, stop } = bounds;
  const wanted = new Set(bounds.properties ?? machine.properties.map(({ id }) => id));
  const seen = new Set<string | number>();
  /** Of each state that was reached: the one before it, and the action between. */
  const before: number[] = [];
  const by: (Action | undefined)[] = [];
  const counterexamples: Counterexample<Action>[] = [];
  let transitions = 0;
  let depth = 0;
  let frontier: { readonly state: State; readonly index: number }[] = [];
  let next: typeof frontier = [];
  let full = false;

  const wayTo = (index: number): Action[] => {
    const actions: Action[] = [];
    for (let at = index; at > 0; at = before[at] ?? 0) {
      const action = by[at];
      if (action !== undefined) actions.push(action);
    }
    return actions.reverse();
  };
  const reach = (state: State, from: number, action: Action | undefined): void => {
    const key = machine.key(state);
    if (seen.has(key)) return;
    if (seen.size >= most) {
      full = true;
      return;
    }
    seen.add(key);
    const index = before.push(from) - 1;
    by.push(action);
    const fallen = machine.broken(state, wanted).filter((id) => wanted.has(id));
    for (const property of fallen) {
      if (counterexamples.some((known) => known.property === property)) continue;
      counterexamples.push({ property, actions: wayTo(index) });
    }
    if (fallen.length === 0) next.push({ state, index });
  };
  const result = (end: SearchResult<Action>['end'], waiting: number): SearchResult<Action> => ({
    end,
    states: seen.size,
    transitions,
    depth,
    frontier: waiting,
    fallen: counterexamples.length,
    counterexamples,
  });

  reach(machine.initial(), 0, undefined);
  const over = (): boolean => bounds.properties !== undefined && counterexamples.length === wanted.size;
  for (;;) {
    if (over()) return result('fallen', next.length);
    if (full) return result('states', next.length);
    if (next.length === 0) return result('closed', 0);
    if (depth >= deepest) return result('depth', next.length);
    depth++;
    [frontier, next] = [next, []];
    for (const [done, { state, index }] of frontier.entries()) {
      machine.successors(state, (action, to) => {
        transitions++;
        reach(to, index, action);
      });
      const waiting = frontier.length - done - 1 + next.length;
      if (over()) return result('fallen', waiting);
      if (full) return result('states', waiting);
      if (stop?.(result('stopped', waiting)) === true) return result('stopped', waiting);
    }
  }
}
