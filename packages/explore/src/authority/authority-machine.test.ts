import { type AuthorityDefectId, authorityDefects } from '@heki/code-authority';
import { describe, expect, test } from 'vitest';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { WEAKER_STORIES } from '../testing/weaker-stories.ts';
import { authorityMachine } from './authority-machine.ts';

const EACH = (Object.keys(authorityDefects) as AuthorityDefectId[]).map((id) => {
  const [property, ...story] = WEAKER_STORIES[id];
  return [id, property, story] as const;
});

describe('an owner of code', () => {
  test('lets nothing be executed but what was signed, in all that can happen in two actions', () => {
    const { end, counterexamples } = search(authorityMachine(), { depth: 2 });
    expect([end, counterexamples]).toEqual(['depth', []]);
  });

  test.each(EACH)(
    'that is weaker by %s breaks %s, and one that is not holds against the same',
    (id, property, story) => {
      expect(replay(authorityMachine(id), story)).toMatchObject({
        steps: story.length,
        broken: expect.arrayContaining([property]),
      });
      expect(replay(authorityMachine(), story).broken).toEqual([]);
    },
  );

  test.each(EACH.filter(([, , story]) => story.length <= 2))(
    'the story of %s is found by the search, and none that is shorter',
    (id, property, story) => {
      const machine = authorityMachine(id);
      const [found] = search(machine, { depth: story.length, properties: [property] }).counterexamples;
      expect(found?.actions.map((action) => machine.describe(action))).toEqual(story);
    },
  );

  test('lets legitimate work be done: two modules, a trampoline, a program, a call, and all of it goes again', () => {
    const story = [
      'the guest asks for the module in a free page',
      'the guest asks for the call into the module in state 2',
      'the guest asks for the tracing site in state 1',
      'the guest asks for a trampoline to the module',
      'the guest asks to unload the trampoline',
      'the guest asks for a pack',
      'the guest asks for a program of which the attacker has chosen a half',
      'the guest asks for the program to go',
      'the guest asks to unload the pack',
      'the guest asks for the module that calls it in another page',
      'the guest asks to unload the caller',
      'the guest asks for the call into the module in state 0',
      'the guest asks to unload the callee',
    ];
    const machine = authorityMachine();
    let state = machine.initial();
    for (const line of story) {
      const before = machine.key(state);
      machine.successors(
        state,
        (_, next) => {
          state = next;
        },
        line,
      );
      expect(machine.key(state), line).not.toBe(before);
    }
    expect(machine.broken(state)).toEqual([]);
  });
});
