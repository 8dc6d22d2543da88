import type { Capabilities } from '../../capabilities.ts';
import { REFERENCE, referenceSetup } from './reference-setup.ts';
import { VALUES } from './values.ts';

type Field = keyof Capabilities;

const OWNERS_ALIKE = 'both ask from outside the guest, and the contract has one word for it';
const STRONGER = 'what is promised is kept, and more';
const NEVER_GIVEN = 'whoever decides could give it, and never does';
const UNSAID = 'an event tells what was decided, and not where whoever decided sits';

/** False declarations that the contract does not show, as `kept, declared`, and why. */
const UNSEEN: { readonly [field in Field]?: readonly (readonly [pair: string, why: string])[] } = {
  policyOwner: [
    ['guest-kernel, vmm', OWNERS_ALIKE],
    ['vmm, guest-kernel', OWNERS_ALIKE],
    ['higher-privilege-level, another-domain', OWNERS_ALIKE],
    ['another-domain, higher-privilege-level', OWNERS_ALIKE],
  ],
  immutability: [['end of boot, no page', STRONGER]],
  largePages: [['split-by-backend, split-by-caller', STRONGER]],
  inForce: [['on-return, on-flush', STRONGER]],
  verdicts: [['#GP and once, #GP', NEVER_GIVEN]],
  denialsDecidedBy: ['guest-kernel', 'vmm', 'higher-privilege-level', 'another-domain'].flatMap(
    (kept, _index, deciders) =>
      deciders.filter((each) => each !== kept).map((declared) => [`${kept}, ${declared}`, UNSAID] as const),
  ),
};

/** Every false declaration of one field. */
const lies = Object.entries(VALUES).flatMap(([field, { context, cases, values }]) =>
  Object.entries(values).flatMap(([kept, keptValue]) =>
    Object.entries(values).flatMap(([declared, declaredValue]) =>
      kept === declared
        ? []
        : {
            field: field as Field,
            pair: `${kept}, ${declared}`,
            cases,
            setup: referenceSetup(
              { ...REFERENCE, ...context, ...keptValue },
              { ...REFERENCE, ...context, ...declaredValue },
            ),
          },
    ),
  ),
);

const isUnseen = ({ field, pair }: { readonly field: Field; readonly pair: string }): boolean =>
  UNSEEN[field]?.some(([unseen]) => unseen === pair) === true;

/** Of what can be said of pins, each is compared with these. */
const USUAL_PINS = ['CR0.WP, and three bits of CR4', 'every register', 'exact-value'];
const isRare = ({ field, pair }: { readonly field: Field; readonly pair: string }): boolean =>
  field === 'pins' &&
  !USUAL_PINS.some((usual) => pair.startsWith(`${usual}, `) || pair.endsWith(`, ${usual}`));

const shown = lies.filter((lie) => !isUnseen(lie));
/** Those that the contract shows, but for sets of pins that are compared with each other. */
export const SHOWN_LIES = shown.filter((lie) => !isRare(lie));
export const MORE_SHOWN_LIES = shown.filter(isRare);

const unseen = lies.filter(isUnseen);
const isFirst = ({ field }: { readonly field: Field }, index: number): boolean =>
  unseen.findIndex((lie) => lie.field === field) === index;
/** One of each field of those that it does not show, and the others. */
export const UNSEEN_LIES = unseen.filter(isFirst);
export const MORE_UNSEEN_LIES = unseen.filter((lie, index) => !isFirst(lie, index));

/** Every case, but what only takes long here. */
export const ALL_BUT_LONG = /^(?!random lives|large pages: \w+ \w+ gives)/;
