import { expect, test } from 'vitest';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { HONEST } from '../testing/reference/honest.ts';
import { referenceSetup } from '../testing/reference/reference-setup.ts';

// `honest.long.test.ts` has all values of the fields that all cases are about, in all cases.
test.each(HONEST)(
  'a backend that keeps what it declares passes: $field, $name',
  ({ capabilities, cases }) => {
    expect(failingCases(referenceSetup(capabilities), cases)).toEqual([]);
  },
);
