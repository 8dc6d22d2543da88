import type { Vcpu } from '@heki/vcpu';
import type { PinnableRegister } from '../../capabilities.ts';
import { createKitGuest, type KitGuest } from '../kit-guest.ts';
import { buildDescriptors, IDTR, REGISTERS } from '../kit-memory.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { textOf } from '../text-of.ts';
import { WATCHED_REGISTERS, type WatchedRegister, watched } from '../watched-register.ts';
import { startAfterInit } from './start.ts';

/** Pins of registers other than CR0 and CR4, tried by the instruction that writes them. */
export function registerCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { registers } = setup.hypervisor.capabilities.pins;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'pins', name, run });
  };
  for (const each of registers.map(watched)) {
    const { name } = each;
    add(`${name} keeps its value on every virtual CPU once it is pinned`, () => {
      const guest = prepared(setup, each);
      pinRegister(guest, each);
      for (const vcpu of guest.vcpus) requireHeld(guest, vcpu, each, setup);
      const late = guest.vm.createVcpu({ onException: () => 'fatal' });
      guest.restart(late);
      const [first] = guest.vcpus;
      if (first !== undefined) copy(each, first, late);
      requireHeld(guest, late, each, setup);
    });
    add(`INIT lets a processor load ${name} again although it is pinned, and the pin binds it then`, () => {
      const guest = prepared(setup, each);
      pinRegister(guest, each);
      const [first, second] = guest.vcpus;
      require(first !== undefined && second !== undefined, 'a guest without two virtual CPUs');
      const value = each.read(second);
      guest.vm.lifeCycle({ kind: 'init', vcpu: second.id });
      requireHeld(guest, first, each, setup);
      if (each.survivesInit) {
        require(each.read(second) === value, `INIT changed ${name}, which it leaves as it is`);
        requireHeld(guest, second, each, setup);
        // The refusal may have stopped it.
        guest.vm.lifeCycle({ kind: 'init', vcpu: second.id });
      }
      startAfterInit(second);
      second.registers.idtr ??= IDTR;
      if (each.register === 'tr' || each.register === 'ldtr') second.registers.gdtr = REGISTERS.gdtr;
      if (each.read(second) !== value) {
        require(each.write(second, value).kind ===
          'done', `a processor that took INIT cannot load ${name} as it was`);
      }
      require(each.read(second) === value, `${name} is another one than was loaded after INIT`);
      requireHeld(guest, second, each, setup);
    });
  }
  add('registers without a pin stay free, and those that are not declared are dropped', () => {
    const has = (register: PinnableRegister): boolean => registers.some((each) => same(each, register));
    for (const each of WATCHED_REGISTERS) {
      const guest = prepared(setup, each);
      const [vcpu] = guest.vcpus;
      require(vcpu !== undefined, 'a guest without a virtual CPU');
      // All the others, so that whatever shares an exit with this one is watched.
      guest.vm.pin({ registers: registers.filter((register) => !same(register, each.register)) });
      requireFree(vcpu, each, 'it has no pin');
      if (has(each.register)) continue;
      const { dropped, refused, registers: pinned = [] } = guest.vm.pin({ registers: [each.register] });
      const said = dropped.registers?.some((register) => same(register, each.register)) === true;
      require(refused !== undefined || said, `${each.name} is not declared, and not reported as dropped`);
      require(!pinned.some((register) =>
        same(register, each.register),
      ), `${each.name} is not declared, and reported as pinned`);
      buildDescriptors(guest.words);
      requireFree(vcpu, each, 'it was dropped');
    }
  });
  return cases;
}

/** Whether `vcpu` can still give a register another value; then it starts over with the kit's. */
export function changes(guest: KitGuest, vcpu: Vcpu, each: WatchedRegister): boolean {
  const before = each.read(vcpu);
  buildDescriptors(guest.words);
  each.write(vcpu, each.other(before));
  const changed = each.read(vcpu) !== before;
  if (changed || vcpu.halted !== undefined) guest.restart(vcpu);
  return changed;
}

/** Two virtual CPUs whose register has a value as under a running kernel. */
function prepared(setup: ConformanceSetup, ...registers: WatchedRegister[]): KitGuest {
  const guest = createKitGuest(setup, 2);
  for (const vcpu of guest.vcpus) for (const each of registers) each.prepare(vcpu);
  return guest;
}

function pinRegister(guest: KitGuest, { register, name }: WatchedRegister): void {
  const { registers = [], dropped, refused } = guest.vm.pin({ registers: [register] });
  require(refused === undefined && registers.some((each) => same(each, register)), `${name} was not pinned`);
  require(!dropped.registers?.some((each) => same(each, register)), `${name} was pinned and dropped`);
}

function requireHeld(guest: KitGuest, vcpu: Vcpu, each: WatchedRegister, setup: ConformanceSetup): void {
  guest.takeDenials();
  const old = each.read(vcpu);
  require(!changes(guest, vcpu, each), `virtual CPU ${vcpu.id} changed ${each.name}`);
  const denied = guest.takeDenials();
  const [event] = denied;
  require(denied.length === 1 &&
    event !== undefined, `${denied.length} denials for one write of ${each.name}: expected 1`);
  const { denial, verdict } = event;
  require(denial.kind === 'register' &&
    denial.register === each.name, `the denial names ${textOf(denial)}, expected ${each.name}`);
  require(setup.hypervisor.capabilities.verdicts.includes(verdict), `verdict ${verdict} is not declared`);
  if (typeof each.register === 'object') {
    require(denial.old === old &&
      denial.value === each.other(old), `the denial has other values of ${each.name}`);
  }
}

function requireFree(vcpu: Vcpu, each: WatchedRegister, why: string): void {
  const old = each.read(vcpu);
  const value = each.other(old);
  const { kind } = each.write(vcpu, value);
  require(kind === 'done' && each.read(vcpu) === value, `${each.name} cannot be written although ${why}`);
}

function copy(each: WatchedRegister, from: Vcpu, to: Vcpu): void {
  each.prepare(to);
  require(each.read(from) === each.read(to), `two virtual CPUs begin with other values of ${each.name}`);
}

function same(a: PinnableRegister, b: PinnableRegister): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && a.msr === b.msr);
}
