import { expect, test } from 'vitest';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { MORE_HONEST } from '../testing/reference/honest.ts';
import { referenceSetup } from '../testing/reference/reference-setup.ts';

test.each(MORE_HONEST)(
  'a backend that keeps what it declares passes: $field, $name',
  ({ capabilities, cases }) => {
    expect(failingCases(referenceSetup(capabilities), cases)).toEqual([]);
  },
);
