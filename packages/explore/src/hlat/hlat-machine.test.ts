import { describe, expect, test } from 'vitest';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { HLAT_STORIES, HLAT_VARIANTS, hlatOn } from '../testing/hlat-machines.ts';

describe('addresses of what is protected', () => {
  test.each(HLAT_VARIANTS)(
    '%s: stories break what that variant lets through, and nothing else',
    (_name, hlat, falls) => {
      const machine = hlatOn(hlat);
      for (const [property, story] of HLAT_STORIES) {
        const { steps, broken } = replay(machine, story);
        expect([steps, broken]).toEqual([story.length, falls.includes(property) ? [property] : []]);
      }
    },
  );

  test('nothing falls earlier, whatever is left out', () => {
    for (const [, hlat] of HLAT_VARIANTS)
      expect(search(hlatOn(hlat), { depth: 1 }).counterexamples).toEqual([]);
  });
});
