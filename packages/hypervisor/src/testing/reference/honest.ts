import { isDeepStrictEqual } from 'node:util';
import type { Capabilities } from '../../capabilities.ts';
import { ALL_BUT_LONG } from './lies.ts';
import { REFERENCE } from './reference-setup.ts';
import { VALUES } from './values.ts';

/** Of requests and what they take. Which bits of registers are pinned has no part in any of it. */
const APART_FROM_PINS = /^(?!rights|requests|large pages|random lives|host frames)/;
/** Requests, and memory under two names, still meet who asks, who decides, and what a bypass leaves open. */
const APART_FROM_RIGHTS =
  /^(?!rights|large pages|random lives|hostile guests: 3,380|life-cycle: a state that is damaged)/;

/** Fields that have nothing to do with rights of pages: their backends need not be asked for all of those again. */
const APART: { readonly [field in keyof Capabilities]?: RegExp } = {
  authenticates: /^declaration/,
  policyOwner: APART_FROM_RIGHTS,
  pins: APART_FROM_PINS,
  bypasses: APART_FROM_RIGHTS,
  denialsDecidedBy: APART_FROM_RIGHTS,
  lifeCycle: /^(?!rights|large pages|random lives)/,
  saveRestore: /^(?!rights|large pages|random lives)/,
};

/** A backend that keeps what it declares, and the cases that it must pass. */
interface Honest {
  readonly field: string;
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly cases: RegExp;
}

const ALL_CASES = /./;
const reference: Honest = { field: 'all', name: 'as usual', capabilities: REFERENCE, cases: ALL_CASES };

/** Every declaration of one field that is kept, and that the reference does not have. */
const others: readonly Honest[] = Object.entries(VALUES)
  .flatMap(([field, { context, values }]) =>
    Object.entries(values).map(([name, value]) => ({
      field,
      name,
      capabilities: { ...REFERENCE, ...context, ...value },
      cases: APART[field as keyof Capabilities] ?? ALL_CASES,
    })),
  )
  .filter(({ capabilities }) => !isDeepStrictEqual(capabilities, REFERENCE));
const apart = others.filter(({ field }) => field in APART);
const aboutAll = others.filter(({ field }) => !(field in APART));
const isFirst = ({ field }: Honest, index: number): boolean =>
  aboutAll.findIndex((each) => each.field === field) === index;

/** The reference, all fields that are apart, and one of each of the others, without what takes longest. */
export const HONEST: readonly Honest[] = [
  reference,
  ...apart,
  ...aboutAll.filter(isFirst).map((each) => ({ ...each, cases: ALL_BUT_LONG })),
];
/** All of the others, in all cases. */
export const MORE_HONEST: readonly Honest[] = aboutAll;
