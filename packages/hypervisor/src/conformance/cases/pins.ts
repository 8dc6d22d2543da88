import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4 } from '@heki/x86';
import {
  type ControlBit,
  ESSENTIAL,
  give,
  guestWith,
  holds,
  nameOf,
  pinBit,
  pinnable,
} from '../control-bit.ts';
import { emulatedOutcome, requireCarriedOut, triedRegister } from '../denied-attempt.ts';
import { createKitGuest, type KitGuest } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { semanticsCases } from './pin-semantics.ts';
import { startAfterInit } from './start.ts';

const LMSW_BITS = CR0.PE | CR0.MP | CR0.EM | CR0.TS;

/** Pins of CR0 and CR4 on several virtual CPUs, tried by every instruction that can clear a bit. */
export function pinCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'pins', name, run });
  };
  const { semantics } = setup.hypervisor.capabilities.pins;
  const calls = setup.guestCalls === undefined ? undefined : createKitGuest(setup).calls;
  for (const each of pinnable(setup)) {
    const { register, bit } = each;
    const what = `bit ${bit.toString(2).length - 1} of CR${register}`;
    add(`${what} stays as it is on every virtual CPU once it is pinned`, () => staysSet(setup, each));
    if (register === 0 && (bit & LMSW_BITS & ~CR0.PE) !== 0n) {
      add(`${what} cannot be cleared by LMSW either`, () => {
        const guest = guestWith(setup, each);
        pinBit(guest, each);
        guest.vcpus[0]?.lmsw(Number(CR0.PE));
        require(((guest.vcpus[0]?.registers.cr0 ?? 0n) & bit) !== 0n, 'LMSW cleared a pinned bit');
      });
    }
    if (register === 0 && bit === CR0.TS) {
      add(`${what} cannot be cleared by CLTS either`, () => {
        const guest = guestWith(setup, each);
        pinBit(guest, each);
        guest.vcpus[0]?.clts();
        require(((guest.vcpus[0]?.registers.cr0 ?? 0n) & bit) !== 0n, 'CLTS cleared a pinned bit');
      });
    }
    add(`INIT lets a processor start although ${what} is pinned, and the pin binds it again`, () =>
      afterInit(setup, each),
    );
    add(`a processor that took INIT and started before ${what} was pinned is bound by the pin`, () => {
      const guest = guestWith(setup, each);
      const [, started] = guest.vcpus;
      require(started !== undefined, 'a guest without two virtual CPUs');
      guest.vm.lifeCycle({ kind: 'init', vcpu: started.id });
      startAfterInit(started, each);
      pinBit(guest, each);
      require(holds(guest, started, each), `virtual CPU ${started.id} is not bound`);
    });
    if (calls?.emulator !== undefined) {
      add(`${what} cannot be cleared by an instruction that is emulated`, () => emulated(setup, each));
    }
    if (calls?.pin === undefined || semantics === 'whole-register') continue;
    add(
      `the guest pins ${what}, and a pin that it asks for while the bit is clear does not lock it out`,
      () => guestPins(setup, each),
    );
  }
  add('a later pin adds to an earlier one, of its own register and of the other', () =>
    pinnedInTurn(setup, pinBit),
  );
  if (calls?.pin !== undefined && semantics !== 'whole-register') {
    add('a later pin of the guest adds to an earlier one, of its own register and of the other', () =>
      pinnedInTurn(setup, pinAsGuest),
    );
  }
  add('bits without a pin stay free', () => {
    const guest = createKitGuest(setup);
    const [vcpu] = guest.vcpus;
    if (vcpu === undefined) return;
    const [first] = pinnable(setup);
    if (first !== undefined && semantics !== 'whole-register') pinBit(guest, first);
    for (const { register, bit } of [
      { register: 4, bit: CR4.TSD },
      { register: 0, bit: CR0.MP },
    ] as const) {
      if (first?.register === register && first.bit === bit) continue;
      const name = nameOf({ register });
      require(vcpu.movToCr(register, vcpu.registers[name] ^ bit).kind ===
        'done', `bit 0x${bit.toString(16)} of CR${register}, which any kernel may write, cannot be written`);
    }
  });
  add('a bit that is not declared is dropped, said to be, and stays free', () => undeclared(setup));
  return [...cases, ...semanticsCases(setup)];
}

function staysSet(setup: ConformanceSetup, each: ControlBit): void {
  const { register, bit } = each;
  const guest = guestWith(setup, each);
  const result = pinBit(guest, each);
  require(result.refused === undefined &&
    ((register === 0 ? result.cr0 : result.cr4) & bit) !== 0n, 'a declared bit was not pinned');
  for (const vcpu of guest.vcpus) {
    guest.takeDenials();
    const old = vcpu.registers[nameOf(each)];
    require(holds(guest, vcpu, each), `virtual CPU ${vcpu.id} changed a pinned bit`);
    const denied = guest.takeDenials();
    const [event] = denied;
    require(denied.length === 1 &&
      event !== undefined, `${denied.length} denials for one register write: expected 1`);
    const { denial, verdict } = event;
    require(event.vcpu === vcpu.id, `the denial names virtual CPU ${event.vcpu}, expected ${vcpu.id}`);
    require(denial.kind === 'register' &&
      denial.register === nameOf(each), `the denial does not name CR${register}`);
    require(denial.old === old &&
      denial.value === (old ^ bit), `the denial has other values of CR${register} than the write`);
    require(setup.hypervisor.capabilities.verdicts.includes(
      verdict,
    ), 'a refused register write got a verdict that is not declared');
  }
  const late = guest.vm.createVcpu({ onException: () => 'fatal' });
  give(guest, late, each);
  require(holds(guest, late, each), 'a virtual CPU that was created later changed a pinned bit');
}

/** The guest asks for the pin of a bit. */
function pinAsGuest(guest: KitGuest, { register, bit }: ControlBit): void {
  const [vcpu] = guest.vcpus;
  if (vcpu === undefined) return;
  const isPinned = guest.calls?.pin?.(vcpu, register, bit) === true;
  require(isPinned, `a pin of bit 0x${bit.toString(16)} of CR${register} was refused`);
}

/** Every bit is pinned by a request of its own; then each is tried alone, and all of a register by one write. */
function pinnedInTurn(setup: ConformanceSetup, pin: (guest: KitGuest, bit: ControlBit) => void): void {
  const guest = createKitGuest(setup, 2);
  const bits = pinnable(setup);
  const giveAll = (vcpu: Vcpu): void => {
    guest.restart(vcpu);
    for (const each of bits) vcpu.registers[nameOf(each)] |= each.bit;
  };
  for (const vcpu of guest.vcpus) giveAll(vcpu);
  for (const each of bits) pin(guest, each);
  for (const vcpu of guest.vcpus) {
    for (const each of bits) {
      giveAll(vcpu);
      const { bit, register } = each;
      require(holds(
        guest,
        vcpu,
        each,
      ), `bit 0x${bit.toString(16)} of CR${register} lost its pin to a later one`);
    }
    for (const register of [0, 4] as const) {
      giveAll(vcpu);
      const name = nameOf({ register });
      const before = vcpu.registers[name];
      const optional = bits
        .filter((each) => each.register === register && (each.bit & ESSENTIAL[register]) === 0n)
        .reduce((mask, { bit }) => mask | bit, 0n);
      vcpu.movToCr(register, before & ~optional);
      const cleared = before & ~vcpu.registers[name] & optional;
      require(cleared === 0n, `one write of CR${register} cleared the pinned bits 0x${cleared.toString(16)}`);
    }
  }
}

function afterInit(setup: ConformanceSetup, each: ControlBit): void {
  const guest = guestWith(setup, each);
  const [other, starting] = guest.vcpus;
  require(other !== undefined && starting !== undefined, 'a guest without two virtual CPUs');
  pinBit(guest, each);
  const late = guest.vm.createVcpu({ onException: () => 'fatal' });
  for (const vcpu of [starting, late]) {
    guest.vm.lifeCycle({ kind: 'init', vcpu: vcpu.id });
    require(holds(guest, other, each), 'INIT of another virtual CPU freed a pinned bit');
    startAfterInit(vcpu, each);
    require(holds(guest, vcpu, each), `virtual CPU ${vcpu.id}, which started again, is not bound`);
  }
}

function emulated(setup: ConformanceSetup, each: ControlBit): void {
  const guest = guestWith(setup, each);
  const [vcpu] = guest.vcpus;
  const emulator = guest.calls?.emulator;
  require(vcpu !== undefined && emulator !== undefined, 'a guest without an emulator');
  pinBit(guest, each);
  const name = nameOf(each);
  const value = vcpu.registers[name] & ~each.bit;
  const tried = triedRegister(
    guest,
    () => emulatedOutcome(emulator.movToCr(vcpu, each.register, value)),
    () => (vcpu.registers[name] & each.bit) === 0n,
  );
  require(!tried.effect, 'the emulator cleared a pinned bit');
  const [event] = tried.denials;
  require(event !== undefined &&
    tried.denials.length === 1, `it gives ${tried.denials.length} events: expected 1`);
  requireCarriedOut(event, tried);
}

function guestPins(setup: ConformanceSetup, each: ControlBit): void {
  const { register, bit } = each;
  const guest = guestWith(setup, each);
  const [vcpu] = guest.vcpus;
  if (guest.calls?.pin === undefined || vcpu === undefined) return;
  const before = guest.events.length;
  require(guest.calls.pin(vcpu, register, bit), 'a declared bit was refused');
  const [event, ...others] = guest.events.slice(before).filter(({ type }) => type === 'pinned');
  require(event !== undefined &&
    'by' in event &&
    event.by === 'guest' &&
    others.length === 0, 'a pin of the guest is not reported as one');
  require(holds(guest, vcpu, each), 'a pin of the guest does not hold');
  if ((bit & ESSENTIAL[register]) !== 0n) return;
  const other = guestWith(setup, each);
  const [clear] = other.vcpus;
  if (clear === undefined) return;
  const name = nameOf(each);
  clear.registers[name] &= ~bit;
  other.calls?.pin?.(clear, register, bit);
  // Another bit than the pinned one, so that the write is looked at: CR0.MP, CR4.MCE or CR4.TSD.
  const free = register === 0 ? CR0.MP : bit === CR4.MCE ? CR4.TSD : CR4.MCE;
  require(bit === free ||
    clear.movToCr(register, clear.registers[name] ^ free).kind ===
      'done', 'the guest can no longer write its register');
}

function undeclared(setup: ConformanceSetup): void {
  const { cr0, cr4 } = setup.hypervisor.capabilities.pins;
  const guest = createKitGuest(setup);
  const all = 0xffff_ffffn;
  const wanted = { cr0: all & ~cr0, cr4: all & ~cr4 };
  const { dropped, refused } = guest.vm.pin(wanted);
  require(refused !== undefined ||
    (dropped.cr0 === wanted.cr0 &&
      dropped.cr4 === wanted.cr4), 'bits outside the declared masks are not reported as dropped');
  const [vcpu] = guest.vcpus;
  // What a guest without any pin can do with each bit.
  const unpinned = createKitGuest(setup);
  const [reference] = unpinned.vcpus;
  require(vcpu !== undefined && reference !== undefined, 'a guest without a virtual CPU');
  for (const register of [0, 4] as const) {
    for (let bit = 1n; bit < all; bit <<= 1n) {
      const each = { register, bit };
      const name = nameOf(each);
      if ((bit & ESSENTIAL[register]) !== 0n || (wanted[name] & bit) === 0n) continue;
      const expected = reference.movToCr(register, reference.registers[name] ^ bit).kind;
      const { kind } = vcpu.movToCr(register, vcpu.registers[name] ^ bit);
      require(kind === expected, `bit 0x${bit.toString(16)} of CR${register} was dropped, and is not free`);
      guest.restart(vcpu);
      unpinned.restart(reference);
    }
  }
}
