import type { Gpa } from '@heki/physical-memory';
import type { OtherWriter } from '../../virtual-machine.ts';
import { emulatedOutcome, requireCarriedOut } from '../denied-attempt.ts';
import { ALL, createKitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const READ_ONLY = rightsOf('ru');
const PLACE = (0x300 * 4096 + 16) as Gpa;
const BYTES = Uint8Array.of(0xa1, 0xb2, 0xc3, 0xd4);

/** Those that get at guest memory past the loads and stores of a virtual CPU: bound by rights, or declared as a bypass. */
export function writerCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { bypasses } = setup.hypervisor.capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'other writers', name, run });
  };
  for (const [writer, bypass] of [
    ['dma', 'dma'],
    ['vmm', 'vmm'],
    ['hypervisor', 'hypervisor-writes'],
  ] as const) {
    const declared = bypasses.includes(bypass);
    add(
      `a store by ${writer} to a read-only page is ${declared ? 'made: a bypass, as declared' : 'refused'}`,
      () => otherWrite(setup, writer, declared),
    );
  }
  const calls = setup.guestCalls && createKitGuest(setup).calls;
  if (calls?.emulator !== undefined) {
    const declared = bypasses.includes('emulator');
    add(
      `an emulated store to a read-only page is ${declared ? 'made: a bypass, as declared' : 'not made'}`,
      () => emulatedWrite(setup, declared),
    );
  }
  if (calls?.nested !== undefined) {
    const declared = bypasses.includes('nested-guest');
    add(
      declared
        ? 'a guest inside the guest has more rights than the guest: a bypass, as declared'
        : 'a guest inside the guest has just the rights of the guest, if it runs at all',
      () => nestedGuest(setup, declared),
    );
  }
  return cases;
}

function otherWrite(setup: ConformanceSetup, writer: OtherWriter, declared: boolean): void {
  const guest = createKitGuest(setup);
  guest.protect([rangeOf(0x2ff, 0x300, ALL), rangeOf(0x300, 0x301, READ_ONLY)]);
  const at = (gfn: number): Gpa => (gfn * 4096 + 16) as Gpa;
  const stored = (gfn: number): boolean => guest.words(gfn)[4] === 0xd4c3_b2a1;
  const result = guest.vm.write(writer, PLACE, BYTES);
  if (declared) require(result.ok && stored(0x300), 'a declared bypass has no effect: the store was refused');
  else {
    require(!result.ok && result.why === 'denied', 'a bypass that is not declared');
    require(!stored(0x300), 'it was refused, and made all the same');
  }
  require(guest.vm.write(writer, at(0x2ff), BYTES).ok &&
    stored(0x2ff), 'a store to a writable page was refused');
  // Over the border of a page that may be written and one that may not.
  const across = guest.vm.write(writer, (0x300 * 4096 - 2) as Gpa, BYTES);
  require(across.ok === declared, `a store over the border was ${across.ok ? 'made' : 'refused'}`);
  const outside = guest.vm.write(writer, at(0x20_0000), BYTES);
  require(!outside.ok && outside.why === 'not-memory', 'a store outside memory was taken');
}

function emulatedWrite(setup: ConformanceSetup, declared: boolean): void {
  const guest = createKitGuest(setup);
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  guest.protect([rangeOf(0x300, 0x301, READ_ONLY)]);
  guest.takeDenials();
  const outcome = emulatedOutcome(guest.calls?.emulator?.store(vcpu, PLACE, BYTES));
  const effect = guest.words(0x300)[4] === 0xd4c3_b2a1;
  require(effect === declared, effect ? 'a bypass that is not declared' : 'a declared bypass has no effect');
  const denials = guest.takeDenials();
  const [event] = denials;
  require(denials.length === (declared ? 0 : 1), `it gives ${denials.length} events`);
  // No linear address and no error code that anybody could compare.
  if (event !== undefined && event.verdict !== 'page-fault') {
    requireCarriedOut(event, { va: undefined, access: 'write', outcome, effect, denials });
  }
}

function nestedGuest(setup: ConformanceSetup, declared: boolean): void {
  const guest = createKitGuest(setup);
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  const rights = [rangeOf(0x200, 0x201, READ_ONLY), rangeOf(0x201, 0x202, ALL)];
  guest.calls?.nested?.(vcpu);
  guest.protect(rights);
  if (!declared) guest.check([0x200, 0x201], 'with a guest inside that ran before the request');
  guest.calls?.nested?.(vcpu);
  if (!declared) guest.check([0x200, 0x201], 'with a guest inside that was started after the request');
  else require(guest.probe(0x200, vcpu).write, 'a declared bypass has no effect');
}
