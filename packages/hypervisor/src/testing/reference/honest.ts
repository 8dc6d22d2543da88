import type { Capabilities } from '../../capabilities.ts';
import { REFERENCE } from './reference-setup.ts';
import { VALUES } from './values.ts';

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

/** Every declaration of one field that is kept. */
const honest = Object.entries(VALUES).flatMap(([field, { context, values }]) =>
  Object.entries(values).map(([name, value]) => ({
    field,
    name,
    capabilities: { ...REFERENCE, ...context, ...value },
    cases: APART[field as keyof Capabilities] ?? /./,
  })),
);

const isFirstOrApart = ({ field }: { readonly field: string }, index: number): boolean =>
  field in APART || honest.findIndex((each) => each.field === field) === index;

/** One of each field that all cases are about, and all of the others. */
export const HONEST = honest.filter(isFirstOrApart);
export const MORE_HONEST = honest.filter((each, index) => !isFirstOrApart(each, index));
