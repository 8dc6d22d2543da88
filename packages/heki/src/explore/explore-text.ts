import type { SearchResult } from '@heki/explore';
import { count, number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import type { ExploredMachine } from './explored-machine.ts';
import type { ReplayedStories } from './replay-stories.ts';

/** What the end of a search says of the properties that did not fall. */
const ENDS: { readonly [end in (SearchResult<string> | ReplayedStories)['end']]: string } = {
  closed: 'every state that the machine can reach was looked at',
  cut: 'every state that can be reached before something falls was looked at: for what lies behind, search for one property (--property)',
  fallen: 'each property that was asked for has fallen',
  depth: 'the search ended at its depth: longer stories were not looked at',
  states: 'the search ended at its bound of states (--states): others were not looked at',
  stopped: 'the search ended at its time: other states were not looked at',
  replayed: 'stories were told again, and nothing else was looked at',
};

/** The result as people read it: a line for each property, and the story of each that fell. */
export function exploreText(
  machine: ExploredMachine,
  result: SearchResult<string> | ReplayedStories,
  wanted: readonly string[],
  { colours }: Screen,
): string[] {
  const { bold, red, green, yellow, dim } = colours;
  const { counterexamples, states, transitions, depth, end } = result;
  const holds = end === 'closed' ? green('holds') : yellow('did not fall');
  const rows = machine.properties
    .filter(({ id }) => wanted.includes(id))
    .flatMap(({ id, says }) => {
      const story = counterexamples.find(({ property }) => property === id)?.actions;
      if (story === undefined) return [`${id.padEnd(4)} ${holds}  ${says}`];
      const steps = story.map((action, index) => `       ${index + 1}. ${action}`);
      return [`${id.padEnd(4)} ${red('falls')}  ${says}`, ...steps];
    });
  return [
    `${bold(machine.name)}: ${machine.title}`,
    end === 'replayed'
      ? `${number(states)} ${states === 1 ? 'story' : 'stories'}, ${count(transitions, 'action')}; ${ENDS[end]}`
      : `${count(states, 'state')}, ${number(transitions)} transitions, ${count(depth, 'action')} deep; ${ENDS[end]}`,
    '',
    ...rows,
    ...(machine.requestsAreOneStep
      ? ['', dim('Each request is one step here: what can come between its parts was not looked at.')]
      : []),
  ];
}
