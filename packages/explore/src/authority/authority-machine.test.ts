import type { AuthorityDefectId } from '@heki/code-authority';
import { describe, expect, test } from 'vitest';
import { search } from '../search.ts';
import { authorityMachine } from './authority-machine.ts';

const STEP = 'the owner does its next step';

/** The shortest story of each weaker variant, and what it breaks. */
const STORIES: readonly (readonly [AuthorityDefectId, property: string, story: readonly string[]])[] = [
  ['B-A1', 'P6', ['the guest opens the text', 'processor 0 stores to the text']],
  ['B-A2', 'P6', ['the guest patches the tail of the tracing site, as when it jumps']],
  ['B-A3', 'P6', ['the guest asks for the module, with a site of its own', STEP, STEP, STEP]],
  [
    'B-A4',
    'P6',
    [
      'processor 0 clears a free page',
      'the guest asks for the module in a free page',
      STEP,
      STEP,
      'processor 0 stores to a free page',
      STEP,
    ],
  ],
  [
    'B-A5',
    'P12',
    ['the guest gives the init text back', STEP, 'the guest wants the init site in state 1', STEP],
  ],
  [
    'B-A6',
    'P6',
    [
      'the guest writes the bytes that the module would have into a free page',
      'the guest asks for the module in a free page',
      STEP,
      'processor 0 stores to a free page',
      STEP,
      STEP,
    ],
  ],
  ['B-A7', 'KEY', ['the guest wants the LSM site in state 1', STEP]],
  [
    'B-A11',
    'P12',
    ['processor 0 stores to a free page', 'the guest asks for the module in a free page', STEP],
  ],
  ['B-A8', 'P6', ['processor 0 stores to the second name of the text']],
];

/** What is broken after a story; `undefined` when one of its actions cannot happen. */
function brokenAfter(
  defect: AuthorityDefectId | undefined,
  story: readonly string[],
): readonly string[] | undefined {
  const machine = authorityMachine(defect);
  let state = machine.initial();
  for (const name of story) {
    let next: typeof state | undefined;
    machine.successors(state, (action, to) => {
      if (machine.describe(action) === name) next = to;
    });
    if (next === undefined) return undefined;
    state = next;
  }
  return machine.broken(state);
}

describe('an owner of code', () => {
  test('lets nothing be executed but what was signed, in all that can happen in three actions', () => {
    const { end, counterexamples } = search(authorityMachine(), { depth: 3 });
    expect([end, counterexamples]).toEqual(['depth', []]);
  });

  test.each(STORIES)(
    'that is weaker by %s breaks %s, and one that is not holds against the same',
    (id, property, story) => {
      expect(brokenAfter(id, story)).toContain(property);
      expect(brokenAfter(undefined, story) ?? []).toEqual([]);
    },
  );

  test.each(STORIES.filter(([, , story]) => story.length <= 4))(
    'the story of %s is found by the search',
    (id, property, story) => {
      const machine = authorityMachine(id);
      const [found] = search(machine, { depth: story.length, properties: [property] }).counterexamples;
      expect(found?.actions.map((action) => machine.describe(action))).toEqual(story);
    },
  );
});
