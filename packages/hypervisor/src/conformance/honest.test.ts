import { expect, test } from 'vitest';
import type { Capabilities } from '../capabilities.ts';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { REFERENCE, referenceSetup } from '../testing/reference/reference-setup.ts';
import { VALUES } from '../testing/reference/values.ts';

/** Fields that have nothing to do with rights of pages: their backends need not be asked for all of those again. */
const APART: ReadonlySet<keyof Capabilities> = new Set([
  'policyOwner',
  'pins',
  'bypasses',
  'denialsDecidedBy',
  'lifeCycle',
  'saveRestore',
]);

const honest = Object.entries(VALUES).flatMap(([field, { context, values }]) =>
  Object.entries(values).map(([name, value]) => ({
    field,
    name,
    capabilities: { ...REFERENCE, ...context, ...value },
    cases: APART.has(field as keyof Capabilities)
      ? /^(?!rights|requests|large pages|random lives|host frames)/
      : /./,
  })),
);

test.each(honest)(
  'a backend that keeps what it declares passes: $field, $name',
  ({ capabilities, cases }) => {
    expect(failingCases(referenceSetup(capabilities), cases)).toEqual([]);
  },
);
