import type { SearchResult } from '@heki/explore';
import { InputError, UsageError } from '../failure.ts';
import type { ExploredMachine } from './explored-machine.ts';
import type { Stories } from './read-stories.ts';

/** What came of the stories of a report, told again: those that still break their property. */
export interface ReplayedStories extends Omit<SearchResult<string>, 'end'> {
  readonly end: 'replayed';
}

/**
 * Tells the stories of a report again, on a machine that need not be the one that they were found on.
 *
 * @param wanted ids of properties: only their stories
 * @throws {InputError} when the report tells of something that cannot happen on this machine
 * @throws {UsageError} when it has none of the wanted stories
 */
export function replayStories(
  machine: ExploredMachine,
  { path, stories: all }: Stories,
  wanted: readonly string[],
): ReplayedStories {
  const stories = all.filter(({ property }) => wanted.includes(property));
  if (stories.length === 0)
    throw new UsageError(
      `--replay ${path}: no story in it is of ${wanted.join(', ')}: expected what heki explore --json printed when something fell`,
    );
  let transitions = 0;
  const counterexamples = stories.filter(({ property, actions }) => {
    const { steps, broken } = machine.replay(actions);
    transitions += steps;
    const next = actions[steps];
    if (next !== undefined)
      throw new InputError(
        `the story of ${property}: action ${steps + 1}, ${JSON.stringify(next)}, cannot happen then on ${machine.name}`,
        { file: path },
      );
    return broken.includes(property);
  });
  return {
    end: 'replayed',
    counterexamples,
    states: stories.length,
    transitions,
    depth: Math.max(...stories.map(({ actions }) => actions.length)),
    frontier: 0,
    fallen: counterexamples.length,
  };
}
