import { expect, test } from 'vitest';
import type { Capabilities } from '../capabilities.ts';
import { failingCases } from '../testing/reference/failing-cases.ts';
import { REFERENCE, referenceSetup } from '../testing/reference/reference-setup.ts';
import { VALUES } from '../testing/reference/values.ts';

/** Of requests and what they take. Which bits of registers are pinned has no part in any of it. */
const APART_FROM_PINS = /^(?!rights|requests|large pages|random lives|host frames)/;
/** Requests, and memory under two names, still meet who asks, who decides, and what a reset or a bypass leaves open. */
const APART_FROM_RIGHTS = /^(?!rights|large pages|random lives)/;

/** Fields that have nothing to do with rights of pages: their backends need not be asked for all of those again. */
const APART: { readonly [field in keyof Capabilities]?: RegExp } = {
  authenticates: /^declaration/,
  policyOwner: APART_FROM_RIGHTS,
  pins: APART_FROM_PINS,
  bypasses: APART_FROM_RIGHTS,
  denialsDecidedBy: APART_FROM_RIGHTS,
  lifeCycle: APART_FROM_RIGHTS,
  saveRestore: APART_FROM_RIGHTS,
};

const honest = Object.entries(VALUES).flatMap(([field, { context, values }]) =>
  Object.entries(values).map(([name, value]) => ({
    field,
    name,
    capabilities: { ...REFERENCE, ...context, ...value },
    cases: APART[field as keyof Capabilities] ?? /./,
  })),
);

test.each(honest)(
  'a backend that keeps what it declares passes: $field, $name',
  ({ capabilities, cases }) => {
    expect(failingCases(referenceSetup(capabilities), cases)).toEqual([]);
  },
);
