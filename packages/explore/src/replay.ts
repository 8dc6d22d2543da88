import type { Machine } from './machine.ts';

/** What a story came to. */
export interface Replayed {
  /** Actions that happened. Fewer than the story has: the next one cannot happen there, or the machine does not know it. */
  readonly steps: number;
  /** The ids of the properties that do not hold where it ended. */
  readonly broken: readonly string[];
}

/** Where a story leads, up to the first action that cannot happen. */
function tell<State, Action>(
  machine: Machine<State, Action>,
  story: readonly string[],
): { readonly state: State; readonly steps: number } {
  let state = machine.initial();
  for (const [steps, line] of story.entries()) {
    let next: { readonly state: State } | undefined;
    const visit = (action: Action, to: State): void => {
      if (machine.describe(action) === line) next ??= { state: to };
    };
    machine.successors(state, visit, line);
    if (next === undefined) return { state, steps };
    state = next.state;
  }
  return { state, steps: story.length };
}

/** Tells a story again, as a search printed it, up to the first action that cannot happen. */
export function replay<State, Action>(machine: Machine<State, Action>, story: readonly string[]): Replayed {
  const { state, steps } = tell(machine, story);
  return { steps, broken: machine.broken(state) };
}

/** The state at the end of a story; `undefined` when it cannot happen. */
export function stateAfter<State, Action>(
  machine: Machine<State, Action>,
  story: readonly string[],
): State | undefined {
  if (machine.after !== undefined) return machine.after(story);
  const { state, steps } = tell(machine, story);
  return steps === story.length ? state : undefined;
}

/** A story that happened cannot be told again: the machine was not brought back whole, and nothing that is found of it holds. */
export function cannotHappenAgain(story: readonly string[]): RangeError {
  return new RangeError(
    `what happened cannot happen again: ${JSON.stringify(story)}: expected a machine that is brought back whole`,
  );
}
