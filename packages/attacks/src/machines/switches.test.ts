import { expect, test } from 'vitest';
import { runAttack } from '../attack/run-attack.ts';
import { attackNamed, boot, findBackend, machineNamed } from '../testing/backends.ts';
import { bootMachine } from './boot-machine.ts';
import { SWITCHES } from './switches.ts';

/** Each thing that can be taken out of a machine, an attack, and a machine on which it is what stops that attack. */
const MATTERS: readonly (readonly [name: string, attack: string, machine: string])[] = [
  ['DMA remapping', 'dma-to-text', 'hardened-iommu'],
  ['HLAT', 'remap-text', 'hardened-hlat'],
  ['HLAT', 'remap-idt', 'hardened-hlat'],
  ['the mending of B-H12', 'hypervisor-store-to-text', 'hardened'],
  ['the mending of B-ALIAS', 'second-memslot', 'hardened'],
  ['immutable pages', 'ask-for-write-to-text', 'hardened'],
  ['immutable pages', 'leave-breakpoint', 'hardened'],
  ['pins of registers', 'clear-smep', 'hardened'],
  ['an owner of code', 'ask-for-execution', 'hardened-authenticated'],
  ['an owner of code', 'forge-breakpoint', 'hardened-authenticated'],
  ['an owner of code', 'withdrawn-module', 'hardened-authenticated'],
  ['what B-A1 leaves out of an owner of code', 'open-sealed-text', 'hardened-authenticated'],
  ['what B-A2 leaves out of an owner of code', 'mix-sealed-halves', 'hardened-authenticated'],
  ['what B-A3 leaves out of an owner of code', 'forge-sealed-sites', 'hardened-authenticated'],
  ['what B-A4 leaves out of an owner of code', 'race-sealed-load', 'hardened-authenticated'],
  ['what B-A5 leaves out of an owner of code', 'poke-released-init', 'hardened-authenticated'],
  ['what B-A5 leaves out of an owner of code', 'give-init-back-twice', 'hardened-authenticated'],
  ['what B-A6 leaves out of an owner of code', 'race-laid-out-module', 'hardened-authenticated'],
  ['what B-A6 leaves out of an owner of code', 'change-relocated-call', 'hardened-authenticated'],
  ['what B-A7 leaves out of an owner of code', 'flip-frozen-key', 'hardened-authenticated'],
  ['what B-A7 leaves out of an owner of code', 'take-lock-away', 'hardened-authenticated'],
  ['what B-A9 leaves out of an owner of code', 'shadow-export', 'hardened-authenticated'],
  ['what B-A10 leaves out of an owner of code', 'retire-module-in-use', 'hardened-authenticated'],
  ['what B-A11 leaves out of an owner of code', 'load-over-page-table', 'hardened-authenticated'],
  ['what B-A13 leaves out of an owner of code', 'execute-shifted-bpf', 'hardened-authenticated'],
  ['what B-A14 leaves out of an owner of code', 'execute-blinded-bpf', 'hardened-authenticated'],
  ['the end of boot', 'ask-for-execution', 'lvbs'],
  ['a secure kernel that knows code by its signature', 'unsigned-module', 'lvbs'],
  ['the closed holes of the secure kernel (B-L1 to B-L6)', 'forge-patch-table', 'lvbs'],
  ['the mending of B-H7', 'execute-plugged-memory', 'hardened'],
  ['the mending of B-H2 and B-H3 and B-H4 and B-H5', 'list-cycle', 'hardened'],
  ['the mending of B-H6', 'list-half-applied', 'hardened'],
  ['the mending of B-H1 and B-G4', 'store-module-text', 'hardened'],
  ['the mending of B-G17', 'switch-heki-off', 'hardened'],
  ['no right to write in the second level', 'store-text-after-pte-edit', 'hardened'],
  ['no right to execute in the second level', 'execute-data', 'hardened'],
  ['W^X of the guest’s own page tables', 'store-text', 'no-heki'],
  ['all of Heki', 'execute-user-page', 'hardened-gmet'],
];

test.each(MATTERS)(
  '%s matters: %s on %s succeeds without it, and not with it',
  (name, attackName, machineName) => {
    const { without, driver, applies } = SWITCHES.find((one) => one.name === name) ?? expect.fail(name);
    const attack = attackNamed(attackName);
    const { machine } = machineNamed(machineName);
    expect(applies(machine)).toBe(true);
    const verdict = (specification: typeof machine, change: typeof driver): string =>
      runAttack(attack, () => bootMachine(specification, findBackend, change)).verdict;
    expect(verdict(machine, undefined)).toBe('blocked');
    expect(verdict(without?.(machine) ?? machine, driver)).toBe('succeeds');
  },
);

test('a blocklist matters: of two signed modules with the same hole the owner of code loads the one that is not on it', () => {
  const verdictOf = (name: string): string =>
    runAttack(attackNamed(name), boot('hardened-authenticated')).verdict;
  expect([verdictOf('vulnerable-module'), verdictOf('withdrawn-module')]).toEqual(['succeeds', 'blocked']);
});

test('GMET alone keeps the kernel from a page of a user program: without pins SMEP is clear, and the fetch is refused all the same', () => {
  const { driver } = SWITCHES.find(({ name }) => name === 'pins of registers') ?? expect.fail('no switch');
  const attack = attackNamed('execute-user-page');
  const verdictOn = (name: string): string =>
    runAttack(attack, () => bootMachine(machineNamed(name).machine, findBackend, driver)).verdict;
  expect([verdictOn('hardened'), verdictOn('hardened-gmet')]).toEqual(['succeeds', 'blocked']);
});

test('types of host frames matter: where KVM’s rights follow guest frames, they alone stop a second memslot; and rights that follow host frames do without them', () => {
  const verdictWith = (...ids: readonly string[]): string => {
    const defects = Object.fromEntries(ids.map((id) => [id, true]));
    const attack = attackNamed('second-memslot');
    return runAttack(attack, () => bootMachine({ authenticate: true, defects }, findBackend)).verdict;
  };
  expect([verdictWith('B-A8'), verdictWith('B-ALIAS'), verdictWith('B-A8', 'B-ALIAS')]).toEqual([
    'blocked',
    'blocked',
    'succeeds',
  ]);
});
