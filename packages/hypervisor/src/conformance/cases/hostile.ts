import type { Vcpu } from '@heki/vcpu';
import { formatRights } from '../../rights.ts';
import { give, holds, optionalBit } from '../control-bit.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { textOf } from '../text-of.ts';

/** Requests of the flood, and lines that they may write into the host's log. */
const FLOOD = 3380;
const MOST_LOG_LINES = FLOOD / 10;
const READ_ONLY = rightsOf('ru');
const FRAMES = [0, 0x200, 0x201, 0x300, 0x400, SECOND_REGION.start];

/** What a guest can send: nothing of it may change anything, or harm the host. */
export function hostileCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  if (setup.guestCalls === undefined) return [];
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'hostile guests', name, run });
  };
  for (const [index, { name }] of (createKitGuest(setup).calls?.malformed ?? []).entries()) {
    add(`${name}: refused, without effect and without harm`, () => malformed(setup, index));
  }
  add('what user code asks for is refused, without effect', () => userCodeAsks(setup));
  add('3,380 requests do not flood the log of the host', () => {
    const guest = createKitGuest(setup);
    const { rangesPerCall = 169 } = setup.hypervisor.capabilities;
    const inCall = Math.min(rangesPerCall, 169);
    for (let call = 0; call * inCall < FLOOD; call++) {
      const rights = call % 2 === 0 ? READ_ONLY : ALL;
      guest.request(Array.from({ length: inCall }, (_, i) => rangeOf(0x200 + i, 0x201 + i, rights)));
    }
    const lines = guest.events.filter(({ type }) => type === 'log').length;
    require(lines <= MOST_LOG_LINES, `${lines} lines, expected at most ${MOST_LOG_LINES}`);
  });
  return cases;
}

function malformed(setup: ConformanceSetup, index: number): void {
  const guest = createKitGuest(setup, 2);
  const [caller, other] = guest.vcpus;
  require(caller !== undefined && other !== undefined, 'a guest without two virtual CPUs');
  guest.protect([rangeOf(0x300, 0x301, READ_ONLY)]);
  const before = stateOf(guest);
  const memory = guest.memoryDigest();
  const registers = registersOf(caller);
  const taken = guest.calls?.malformed[index]?.run();
  guest.checkHost();
  require(taken === false, 'the backend took it');
  require(stateOf(guest) === before, 'it changed what is enforced');
  require(guest.memoryDigest() === memory, 'it changed guest memory');
  require(registersOf(caller) === registers, 'it changed control registers of the guest');
  for (const vcpu of guest.vcpus) guest.restart(vcpu);
  const free = optionalBit(setup);
  if (free !== undefined) {
    for (const vcpu of [caller, other]) {
      vcpu.registers[free.register === 0 ? 'cr0' : 'cr4'] |= free.bit;
      require(!holds(guest, vcpu, free), `it pinned a bit of CR${free.register}`);
      guest.restart(vcpu);
    }
  }
  guest.check([0x200, 0x300], 'after it');
  // The next call of the guest is one like any other.
  require(guest.request([rangeOf(0x200, 0x201, READ_ONLY)]), 'a good request is refused after it');
  guest.check([0x200, 0x300], 'after a good request');
}

/** The guest's own calls, made at CPL 3. */
function userCodeAsks(setup: ConformanceSetup): void {
  const guest = createKitGuest(setup);
  const { calls } = guest;
  const [vcpu] = guest.vcpus;
  require(calls !== undefined && vcpu !== undefined, 'a guest without calls');
  const free = optionalBit(setup);
  guest.protect([rangeOf(0x300, 0x301, READ_ONLY)]);
  const before = stateOf(guest);
  const refused = (what: string, ask: (user: Vcpu) => boolean | undefined): void => {
    vcpu.registers.cpl = 3;
    const taken = ask(vcpu);
    guest.restart(vcpu);
    require(taken !== true, `${what} of user code was taken`);
    require(stateOf(guest) === before, `${what} of user code changed what is enforced`);
  };
  refused('a request', (user) => calls.request(user, [rangeOf(0x300, 0x301, ALL)]));
  if (free === undefined) return;
  give(guest, vcpu, free);
  refused('a pin', (user) => calls.pin?.(user, free.register, free.bit));
  give(guest, vcpu, free);
  require(!holds(guest, vcpu, free), `user code pinned a bit of CR${free.register}`);
}

/** Rights of the frames, and all that a saved state says. */
function stateOf(guest: KitGuest): string {
  const rights = FRAMES.map((gfn) => {
    const back = guest.vm.effectiveRights(gfn as Parameters<typeof guest.vm.effectiveRights>[0]);
    return back === undefined ? 'no memory' : formatRights(back);
  });
  return textOf([rights, guest.vm.save()]);
}

function registersOf({ registers }: Vcpu): string {
  const { cr0, cr3, cr4, efer } = registers;
  return [cr0, cr3, cr4, efer].join();
}
