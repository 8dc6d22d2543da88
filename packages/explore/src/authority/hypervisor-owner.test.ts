import { type AuthorityDefectId, authorityDefects } from '@heki/code-authority';
import { createKvm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { describe, expect, test } from 'vitest';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { WEAKER_STORIES } from '../testing/weaker-stories.ts';
import { ownedBackendMachine } from './authority-machine.ts';
import { TINY_CODE } from './tiny-images.ts';

function owned(...defects: readonly AuthorityDefectId[]) {
  const switches = Object.fromEntries(defects.map((id) => [id, true]));
  const create = () => createKvm({ authenticate: TINY_CODE, defects: switches });
  return ownedBackendMachine(
    { name: 'authority-kvm', create, driver: initHekiOnKvm, profile: 'hardened' },
    ...defects,
  );
}

/** Processor 0 makes the requests here: while one is under way another one acts. */
function asOnKvm(story: readonly string[]): string[] {
  const begun = story.findIndex((line) => line.includes('begins to ask'));
  return story.map((line, index) =>
    begun >= 0 && index > begun ? line.replace('processor 0', 'processor 1') : line,
  );
}

describe('an owner of code behind hypercalls', () => {
  test('lets nothing be executed but what was signed, in all that can happen in two actions', () => {
    const { end, counterexamples } = search(owned(), { depth: 2 });
    expect([end, counterexamples]).toEqual(['depth', []]);
  });

  test.each(Object.keys(authorityDefects) as AuthorityDefectId[])(
    'that is weaker by %s falls to the same story, and one that is not holds against it',
    (id) => {
      const [property, ...lines] = WEAKER_STORIES[id];
      const story = asOnKvm(lines);
      expect(replay(owned(id), story)).toMatchObject({
        steps: story.length,
        broken: expect.arrayContaining([property]),
      });
      expect(replay(owned(), story).broken).toEqual([]);
    },
  );

  test('has taken from hypercall 14 what it could grant: execution of a page that was not signed', () => {
    const story = [
      'processor 0 stores to a free page',
      'the guest asks for the right to execute a free page',
    ];
    expect(replay(owned(), story)).toEqual({ steps: 2, broken: [] });
  });

  test('takes a backend that has one', () => {
    const create = () => createKvm();
    const backend = { name: 'kvm', create, driver: initHekiOnKvm, profile: 'hardened' as const };
    expect(() => ownedBackendMachine(backend)).toThrow('expected an owner of code');
  });
});
