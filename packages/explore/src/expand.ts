import type { Machine } from './machine.ts';
import { stateAfter } from './replay.ts';

/** A state that was reached: what a search must know of it. */
export interface Reached {
  readonly key: string | number;
  /** The action that led to it, as a line of a story. */
  readonly line: string;
  /** The properties that do not hold there, of those that are wanted. */
  readonly broken: readonly string[];
}

/** All that can happen in one state. */
export interface Expansion {
  /** The states that were reached, in order, but for those that the expander has told before. */
  readonly reached: readonly Reached[];
  /** How often one of the others was. */
  readonly known: number;
}

/** Looks at what can happen after stories, in the order in which it is asked. Plain data comes in and goes out: it may be another thread. */
export interface Expander {
  /** @throws {RangeError} for a story that cannot happen */
  expand(stories: readonly (readonly string[])[]): readonly Expansion[] | Promise<readonly Expansion[]>;
}

/** Keys that an expander remembers; then it tells states again that it has told. */
const REMEMBERED = 1_000_000;

/**
 * An expander of a machine.
 *
 * @param properties ids of those that are looked for
 */
export function createExpander<State, Action>(
  machine: Machine<State, Action>,
  properties: readonly string[],
): Expander {
  const wanted = new Set(properties);
  const told = new Set<string | number>();
  const look = (story: readonly string[]): Expansion => {
    const state = stateAfter(machine, story);
    if (state === undefined) throw new RangeError(`the story cannot happen: ${JSON.stringify(story)}`);
    const reached: Reached[] = [];
    let known = 0;
    machine.successors(state, (action, next) => {
      const key = machine.key(next);
      if (told.has(key)) {
        known++;
        return;
      }
      told.add(key);
      const broken = machine.broken(next, wanted).filter((id) => wanted.has(id));
      reached.push({ key, line: machine.describe(action), broken });
    });
    if (told.size > REMEMBERED) told.clear();
    return { reached, known };
  };
  return { expand: (stories) => stories.map(look) };
}
