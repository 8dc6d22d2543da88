import { expect, test } from 'vitest';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { ALL_BUT_LONG, MORE_UNSEEN_LIES } from '../testing/reference/lies.ts';

test.each(MORE_UNSEEN_LIES)(
  'a declaration that is not kept is found, $field (kept, declared): $pair, but for what the contract does not show',
  ({ setup }) => {
    expect(failingCases(setup, ALL_BUT_LONG)).toEqual([]);
  },
);
