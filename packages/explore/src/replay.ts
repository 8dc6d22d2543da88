import type { Machine } from './machine.ts';

/** What a story came to. */
export interface Replayed {
  /** Actions that happened. Fewer than the story has: the next one cannot happen there, or the machine does not know it. */
  readonly steps: number;
  /** The ids of the properties that do not hold where it ended. */
  readonly broken: readonly string[];
}

/** Tells a story again, as a search printed it, up to the first action that cannot happen. */
export function replay<State, Action>(machine: Machine<State, Action>, story: readonly string[]): Replayed {
  let state = machine.initial();
  for (const [steps, line] of story.entries()) {
    let next: { readonly state: State } | undefined;
    const visit = (action: Action, to: State): void => {
      if (machine.describe(action) === line) next ??= { state: to };
    };
    machine.successors(state, visit, line);
    if (next === undefined) return { steps, broken: machine.broken(state) };
    state = next.state;
  }
  return { steps: story.length, broken: machine.broken(state) };
}
