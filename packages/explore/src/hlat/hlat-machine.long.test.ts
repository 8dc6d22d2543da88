import { expect, test } from 'vitest';
import { search } from '../search.ts';
import { HLAT_VARIANTS, hlatOn } from '../testing/hlat-machines.ts';

test.each(HLAT_VARIANTS)(
  '%s: everything in three actions breaks what that variant lets through',
  (_name, hlat, falls) => {
    const { counterexamples } = search(hlatOn(hlat), { depth: 3 });
    expect(counterexamples.map(({ property }) => property).sort()).toEqual([...falls].sort());
    expect(counterexamples.every(({ actions }) => actions.length === 3)).toBe(true);
  },
);
