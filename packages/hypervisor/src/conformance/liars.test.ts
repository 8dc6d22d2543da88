import { describe, expect, test } from 'vitest';
import { failingCases, firstFailingCase } from '../testing/reference/failing-cases.ts';
import { ALL_BUT_LONG, SHOWN_LIES, UNSEEN_LIES } from '../testing/reference/lies.ts';

// `liars.long.test.ts` has the others.
describe('a declaration that is not kept is found', () => {
  test.each(SHOWN_LIES)('$field (kept, declared): $pair', ({ setup, cases }) => {
    expect(firstFailingCase(setup, cases)).toBeDefined();
  });

  test.each(UNSEEN_LIES)(
    '$field (kept, declared): $pair, but for what the contract does not show',
    ({ setup }) => {
      expect(failingCases(setup, ALL_BUT_LONG)).toEqual([]);
    },
  );
});
