import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4 } from '@heki/x86';
import type { PinResult } from '../result.ts';
import { createKitGuest, type KitGuest } from './kit-guest.ts';
import { type ConformanceSetup, require } from './setup.ts';

/** No processor runs 64-bit code without these. */
export const ESSENTIAL = { 0: CR0.PE | CR0.PG, 4: CR4.PAE } as const;

/** One bit of a control register. */
export interface ControlBit {
  readonly register: 0 | 4;
  readonly bit: bigint;
}

/** The name of its register. */
export function nameOf({ register }: Pick<ControlBit, 'register'>): 'cr0' | 'cr4' {
  return register === 0 ? 'cr0' : 'cr4';
}

const known = new WeakMap<ConformanceSetup['hypervisor'], readonly ControlBit[]>();

/** Each declared bit that the kit's guest has set, or can set. Looked for once in each backend. */
export function pinnable(setup: ConformanceSetup): readonly ControlBit[] {
  const bits = known.get(setup.hypervisor) ?? tryBits(setup);
  known.set(setup.hypervisor, bits);
  return bits;
}

function tryBits(setup: ConformanceSetup): readonly ControlBit[] {
  const { pins } = setup.hypervisor.capabilities;
  const bits: ControlBit[] = [];
  for (const register of [0, 4] as const) {
    const declared = register === 0 ? pins.cr0 : pins.cr4;
    for (let shift = 0n; shift < 32n; shift++) {
      const each = { register, bit: 1n << shift };
      if ((declared & each.bit) !== 0n && canHave(setup, each)) bits.push(each);
    }
  }
  return bits;
}

function canHave(setup: ConformanceSetup, each: ControlBit): boolean {
  const [vcpu] = createKitGuest(setup).vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  const before = vcpu.registers[nameOf(each)];
  if ((before & each.bit) !== 0n) return true;
  return vcpu.movToCr(each.register, before | each.bit).kind === 'done';
}

/** A declared bit that a guest can live without, so that it may be clear for once. */
export function optionalBit(setup: ConformanceSetup): ControlBit | undefined {
  return pinnable(setup).find(({ register, bit }) => (bit & ESSENTIAL[register]) === 0n);
}

/** As the owner. */
export function pinBit(guest: KitGuest, { register, bit }: ControlBit): PinResult {
  return guest.vm.pin(register === 0 ? { cr0: bit } : { cr4: bit });
}

/** The kit's registers, and the bit. */
export function give(guest: KitGuest, vcpu: Vcpu, each: ControlBit): void {
  guest.restart(vcpu);
  vcpu.registers[nameOf(each)] |= each.bit;
}

/** Whether the register of `vcpu` keeps the bit when the guest writes it inverted. It is as before afterwards. */
export function holds(guest: KitGuest, vcpu: Vcpu, each: ControlBit): boolean {
  const name = nameOf(each);
  const before = vcpu.registers[name];
  vcpu.movToCr(each.register, before ^ each.bit);
  const kept = ((vcpu.registers[name] ^ before) & each.bit) === 0n;
  guest.restart(vcpu);
  vcpu.registers[name] = before;
  return kept;
}

/** A guest of two virtual CPUs that have the bit. */
export function guestWith(setup: ConformanceSetup, each: ControlBit): KitGuest {
  const guest = createKitGuest(setup, 2);
  for (const vcpu of guest.vcpus) give(guest, vcpu, each);
  return guest;
}
