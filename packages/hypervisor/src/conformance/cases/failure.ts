import { ALL, createKitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const READ_ONLY = rightsOf('ru');
const GOOD = rangeOf(0x200, 0x201, READ_ONLY);
const BEHIND = rangeOf(0x202, 0x203, READ_ONLY);
const BAD = [
  ['an empty range', 0x210, 0x210, 'empty'],
  ['a range that ends before it starts', 0x210, 0x20f, 'empty'],
  ['a range outside memory', 0x20_0000, 0x20_0001, 'not-memory'],
  ['a range that reaches past memory', 0x4_03ff, 0x8_0000, 'not-memory'],
] as const;

/** A request that fails in the middle: what was before the range that fails, and what was behind. */
export function failureCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { failure, rangesPerCall = 3, largePages } = setup.hypervisor.capabilities;
  if (rangesPerCall < 3) return [];
  const cases: ConformanceCase[] = [];
  for (const [name, start, end, why] of BAD) {
    // Where the caller splits, a range of many frames is bad in another way first.
    if (largePages === 'split-by-caller' && end - start > 1) continue;
    cases.push({
      area: 'requests',
      name: `${name} is refused as ${why}, and ${failure === 'all-or-nothing' ? 'nothing changes' : 'only what was before it changes'}`,
      run() {
        const guest = createKitGuest(setup);
        const { refused, applied } = guest.vm.protect([GOOD, rangeOf(start, end, READ_ONLY), BEHIND]);
        require(refused?.at === 1 && refused.why === why, `refused: ${JSON.stringify(refused)}`);
        const keeps = failure === 'stops-at-first';
        require(applied === (keeps ? 1 : 0), `${applied} ranges applied`);
        guest.bringIntoForce();
        if (keeps) guest.model.set(0x200, 0x201, READ_ONLY);
        guest.check([0x200, 0x201, 0x202], 'after the refusal');
      },
    });
  }
  const { immutability } = setup.hypervisor.capabilities;
  if (immutability.kind === 'per-page' && immutability.undoneBy !== 'policy-owner') {
    cases.push({
      area: 'requests',
      name: `an immutable page is refused, and ${failure === 'all-or-nothing' ? 'nothing changes' : 'only what was before it changes'}`,
      run() {
        const guest = createKitGuest(setup);
        guest.protect([rangeOf(0x210, 0x211, READ_ONLY, true)]);
        const { refused, applied } = guest.vm.protect([GOOD, rangeOf(0x210, 0x211, ALL), BEHIND]);
        require(refused?.at === 1 && refused.why === 'immutable', `refused: ${JSON.stringify(refused)}`);
        const keeps = failure === 'stops-at-first';
        require(applied === (keeps ? 1 : 0), `${applied} ranges applied`);
        guest.bringIntoForce();
        if (keeps) guest.model.set(0x200, 0x201, READ_ONLY);
        guest.check([0x200, 0x201, 0x202, 0x210], 'after the refusal');
      },
    });
  }
  if (setup.guestCalls === undefined) return cases;
  cases.push({
    area: 'requests',
    name: 'a request of the guest with a bad range has changed what it is said to have changed',
    run() {
      const guest = createKitGuest(setup);
      const [vcpu] = guest.vcpus;
      const bad = rangeOf(0x20_0000, 0x20_0001, READ_ONLY);
      const taken = vcpu !== undefined && guest.calls?.request(vcpu, [GOOD, bad, BEHIND]);
      require(taken === false, 'it was taken');
      const [answer] = guest.answers();
      require(answer?.refused !== undefined, 'the event does not tell that it was refused');
      // A backend that stops at the first may also look through a list before it begins with it.
      const most = failure === 'stops-at-first' ? 1 : 0;
      require(answer.applied <= most, `${answer.applied} ranges applied, at most ${most} may be`);
      guest.bringIntoForce();
      if (answer.applied === 1) guest.model.set(0x200, 0x201, READ_ONLY);
      guest.check([0x200, 0x201, 0x202], 'after the refusal');
    },
  });
  return cases;
}
