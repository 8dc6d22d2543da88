import { type Capabilities, grantableRights } from '../../capabilities.ts';
import { sameRights } from '../../rights.ts';
import { createKitGuest, ownerName, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { textOf } from '../text-of.ts';

/** What is wrong with a declaration by itself. */
const CONTRADICTIONS: readonly (readonly [name: string, holds: (capabilities: Capabilities) => boolean])[] = [
  [
    'execution without reading is declared, and that reading cannot be withheld',
    ({ executeOnly, readDenial }) => executeOnly && !readDenial,
  ],
  [
    'memory without a request has rights that cannot be given to any page',
    (capabilities) =>
      !sameRights(grantableRights(capabilities, capabilities.unrequested), capabilities.unrequested),
  ],
  [
    'immutability binds the guest, and the guest is the owner who may undo it',
    ({ policyOwner, immutability }) =>
      policyOwner === 'guest-kernel' &&
      immutability.kind !== 'none' &&
      immutability.undoneBy === 'policy-owner',
  ],
  [
    "code is authenticated, and the kernel's execution cannot be withheld",
    ({ authenticates, executeSplit }) =>
      authenticates !== undefined && (executeSplit === 'never-denied' || executeSplit === 'none'),
  ],
  ['no verdict is declared, so that nothing can be denied', ({ verdicts }) => verdicts.length === 0],
  ['a verdict is declared twice', ({ verdicts }) => repeats(verdicts)],
  ['a bypass is declared twice', ({ bypasses }) => repeats(bypasses)],
  ['a register is declared twice', ({ pins }) => repeats(pins.registers.map((each) => JSON.stringify(each)))],
  [
    'a call takes no ranges',
    ({ rangesPerCall = 1 }) => !Number.isInteger(rangesPerCall) || rangesPerCall < 1,
  ],
  ['rights do not come in pages of 4 KiB', ({ granule }) => granule !== 4096],
];

/** The declaration by itself: it makes sense, and whatever it promises can be tried with this set-up. */
export function declarationCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { capabilities } = setup.hypervisor;
  const { policyOwner, immutability, denialsDecidedBy, verdicts } = capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'declaration', name, run });
  };
  add('the capabilities do not contradict each other', () => {
    for (const [what, holds] of CONTRADICTIONS) require(!holds(capabilities), what);
  });
  add('the set-up has what it takes to try everything that is declared', () => {
    const calls = setup.guestCalls === undefined ? undefined : createKitGuest(setup).calls;
    require(policyOwner !== 'guest-kernel' ||
      calls !==
        undefined, "the guest's kernel owns the policy, and the set-up has no guestCalls to ask with");
    require(immutability.kind !== 'end-of-boot' ||
      calls?.endOfBoot !== undefined, 'end-of-boot is declared, and the set-up has no guestCalls.endOfBoot');
    require(denialsDecidedBy === 'hypervisor' ||
      verdicts.length === 1 ||
      setup.deciding !==
        undefined, `${denialsDecidedBy} decides between ${verdicts.join(', ')}, and the set-up has no deciding`);
  });
  add('what the owner asks for is one event that names it, with the answer that it got', () => {
    const guest = createKitGuest(setup);
    const before = guest.events.length;
    const protectedAs = guest.vm.protect([rangeOf(0x200, 0x201, rightsOf('ru'))]);
    const pinnedAs = guest.vm.pin({ cr4: capabilities.pins.cr4 });
    const events = guest.events.slice(before);
    for (const [type, answer] of [
      ['protected', protectedAs],
      ['pinned', pinnedAs],
    ] as const) {
      const found = events.filter((event) => event.type === type);
      require(found.length === 1, `${found.length} events of type ${type}: expected 1`);
      const [event] = found;
      require(event !== undefined && 'by' in event && 'result' in event, `the event ${type} says nothing`);
      require(event.by ===
        ownerName(
          policyOwner,
        ), `${String(event.by)} asked, as the event ${type} says: the owner is ${policyOwner}`);
      require(textOf(event.result) ===
        textOf(answer), `the event ${type} has another answer than the caller`);
    }
  });
  return cases;
}

function repeats(list: readonly unknown[]): boolean {
  return new Set(list).size < list.length;
}
