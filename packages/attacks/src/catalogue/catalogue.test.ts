import { describe, expect, test } from 'vitest';
import { runAttack } from '../attack/run-attack.ts';
import { bootMachine } from '../machines/boot-machine.ts';
import { MECHANISMS } from '../machines/mechanisms.ts';
import { boot, findBackend } from '../testing/backends.ts';
import { CATALOGUE } from './catalogue.ts';
import { CONTROLS } from './controls.ts';
import { WORK } from './work.ts';

const ATTACKS = CATALOGUE.filter(({ legitimate }) => legitimate !== true);
/** Machines on which little stands in the way: of each kind of attack at least one succeeds on one of them. */
const OPEN = ['no-heki', 'rodata-off', 'rfc-v2', 'lvbs-2026-02'].map((name) => ({ name, boot: boot(name) }));
/** Owners of code with many holes: one that compares has the kernel lay modules out, which this kernel does not do. */
const WEAK = [['B-A1', 'B-A2', 'B-A3', 'B-A4', 'B-A5', 'B-A7', 'B-A9', 'B-A10', 'B-A11'], ['B-A6']].map(
  (ids) => ({
    name: `an owner of code with ${ids.join(', ')}`,
    boot: () =>
      bootMachine(
        { authenticate: true, defects: Object.fromEntries(ids.map((id) => [id, true])) },
        findBackend,
      ),
  }),
);

test('there are 60 attacks and more, eight of them races, each under a name of its own', () => {
  const names = CATALOGUE.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(ATTACKS.length).toBeGreaterThanOrEqual(60);
  expect(ATTACKS.filter(({ race }) => race !== undefined).length).toBeGreaterThanOrEqual(8);
  for (const { name, title, gains, source, stoppedBy } of CATALOGUE) {
    expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    for (const text of [title, gains, source]) expect(text).toMatch(/\S.*[^.]$/);
    for (const mechanism of stoppedBy) expect(MECHANISMS).toHaveProperty(mechanism);
  }
});

test.each(ATTACKS)('$name succeeds on a machine that leaves it open, with evidence', (attack) => {
  const runs = [];
  for (const machine of [...OPEN, ...WEAK]) {
    const run = runAttack(attack, machine.boot);
    if (run.verdict === 'succeeds') {
      expect(run.evidence).toMatch(/\S/);
      return;
    }
    runs.push(`${machine.name}: ${run.verdict}: ${run.evidence}`);
  }
  expect(runs).toBe('a success on one of them');
});

describe.each(['no-heki', 'rfc-v2', 'hardened', 'hardened-authenticated', 'lvbs', 'xen'])(
  'on %s, work that must go on does',
  (machine) => {
    test.each(CONTROLS)('$name', (control) => {
      expect(runAttack(control, boot(machine))).toMatchObject({ verdict: 'succeeds' });
    });
  },
);

test.each(WORK)('$name goes on where nothing is protected', (work) => {
  expect(runAttack(work, boot('no-heki'))).toMatchObject({ verdict: 'succeeds' });
});

test('what Heki does not stop is not stopped: asking, remapping, data, and code that is there already', () => {
  const open = ['ask-for-execution', 'remap-text', 'remap-rodata', 'store-credentials', 'call-function'];
  for (const name of open) {
    const attack = ATTACKS.find((one) => one.name === name);
    expect(attack).toBeDefined();
    if (attack !== undefined)
      expect(runAttack(attack, boot('hardened'))).toMatchObject({ verdict: 'succeeds' });
  }
});
