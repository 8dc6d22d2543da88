import { createHyperv } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import { createXen } from '@heki/xen';
import type { LabAttack } from '../attack/lab-attack.ts';
import { CATALOGUE } from '../catalogue/catalogue.ts';
import { ATTACK_MACHINES, type AttackMachine } from '../machines/attack-machines.ts';
import { type BootedMachine, bootMachine, type LabBackend } from '../machines/boot-machine.ts';

const BACKENDS: Readonly<Record<string, LabBackend>> = {
  none: { create: (settings) => createKvm({ ...settings, defects: {} }), driver: undefined },
  kvm: { create: createKvm, driver: initHekiOnKvm },
  hyperv: { create: (settings) => createHyperv({ ...settings, trusted: {} }), driver: initHekiOnHyperv },
  'hyperv-lvbs': { create: createHyperv, driver: initHekiOnLvbs },
  xen: { create: ({ processor }) => createXen({ processor }), driver: initHekiOnXen },
};

/** @throws {TypeError} for a name that no backend of these tests has */
export function findBackend(name: string): LabBackend {
  const backend = BACKENDS[name];
  if (backend === undefined) throw new TypeError(`no backend ${name}`);
  return backend;
}

const named = <Known extends { readonly name: string }>(known: readonly Known[], name: string): Known => {
  const found = known.find((one) => one.name === name);
  if (found === undefined) throw new TypeError(`there is no ${name}`);
  return found;
};

export const attackNamed = (name: string): LabAttack => named(CATALOGUE, name);
export const machineNamed = (name: string): AttackMachine => named(ATTACK_MACHINES, name);

/** Boots the machine of a name. */
export const boot =
  (name: string): (() => BootedMachine) =>
  () =>
    bootMachine(machineNamed(name).machine, findBackend);
