import { type AuthorityDefectId, authorityDefects } from '@heki/code-authority';
import { expect, test } from 'vitest';
import { search } from '../search.ts';
import { WEAKER_STORIES } from '../testing/weaker-stories.ts';
import { authorityMachine } from './authority-machine.ts';

// `authority-machine.test.ts` tells every story again, and looks for those that are shorter.
const OF_THREE = (Object.keys(authorityDefects) as AuthorityDefectId[]).flatMap((id) => {
  const [property, ...story] = WEAKER_STORIES[id];
  return story.length === 3 ? [[id, property, story] as const] : [];
});

test.each(OF_THREE)(
  'the story of %s is found by the search, and none that is shorter',
  (id, property, story) => {
    const machine = authorityMachine(id);
    const [found] = search(machine, { depth: 3, properties: [property] }).counterexamples;
    expect(found?.actions.map((action) => machine.describe(action))).toEqual(story);
  },
);
