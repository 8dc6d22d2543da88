import type { Vcpu } from '@heki/vcpu';
import { GENERAL_REGISTERS } from '@heki/vcpu';
import { createKitGuest, type KitGuest } from './kit-guest.ts';
import { type ConformanceSetup, require } from './setup.ts';

/** Every register beside the general ones, as a VMM reads and sets them. */
const STATE_REGISTERS = [
  'rip',
  'rflags',
  'cpl',
  'cr0',
  'cr2',
  'cr3',
  'cr4',
  'efer',
  'pkru',
  'pkrs',
  'codeSegment64',
  'gdtr',
  'idtr',
  'ldtr',
  'tr',
] as const;

/** MSRs that the model's processors have, beside EFER and PKRS (SDM 4, table 2-2). */
const MSRS = [
  0x1b, 0x48, 0x174, 0x175, 0x176, 0x1a0, 0x1d9, 0x277, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084,
  0xc000_0100, 0xc000_0101, 0xc000_0102, 0xc000_0103,
];

/**
 * Another machine of the backend that goes on from where `guest` is: memory and registers as a VMM carries them over, then what the
 * backend has saved. `undefined` when it refuses to save now. No virtual CPU may stand still.
 */
export function twinOf(setup: ConformanceSetup, guest: KitGuest): KitGuest | undefined {
  const state = guest.vm.save();
  if (state === undefined) return undefined;
  const twin = createKitGuest(setup, guest.vcpus.length);
  for (const gfn of new Set([...twin.touched, ...guest.touched])) twin.words(gfn).set(guest.words(gfn));
  for (const [index, vcpu] of guest.vcpus.entries()) {
    const target = twin.vcpus[index];
    require(target !== undefined, 'a twin has as many virtual CPUs');
    copyRegisters(vcpu, target);
  }
  setup.carry?.(guest.vm, twin.vm);
  require(twin.vm.restore(state), 'a state that was saved was not taken');
  return twin;
}

function copyRegisters(from: Vcpu, to: Vcpu): void {
  const { registers } = from;
  const values = [...GENERAL_REGISTERS, ...STATE_REGISTERS].map((name) => [name, registers[name]] as const);
  Object.assign(to.registers, Object.fromEntries(values));
  for (const msr of MSRS) {
    const value = from.emulateRdmsr(msr);
    if (value !== undefined) to.emulateWrmsr(msr, value);
  }
  if (from.queuedException !== undefined) to.queueException(from.queuedException);
}
