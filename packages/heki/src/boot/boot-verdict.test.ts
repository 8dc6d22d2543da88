import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKvm, type KvmOptions } from '@heki/kvm';
import { createLinuxMachine, type LinuxMachine, pcMemoryMap } from '@heki/machine';
import { runScenario, type Step } from '@heki/scenario';
import { afterAll, describe, expect, test } from 'vitest';
import { projectFile, runCommand } from '../testing/run-command.ts';
import { exitCodeOf } from '../verdict/finding.ts';
import { bootVerdict, bootWarnings } from './boot-verdict.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-boot-verdict-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const HARDENED = { profile: 'hardened', strict: false } as const;

/** A machine whose mending is incomplete: it has one defect of the published series, in KVM. */
function machineWith(defects: NonNullable<KvmOptions['defects']>, mbec = true): LinuxMachine {
  return createLinuxMachine({
    hypervisor: createKvm({ profile: 'hardened', defects, mbec }),
    memoryMap: pcMemoryMap(64 * 2 ** 20),
    attackable: true,
  });
}

const PATCHED: readonly Step[] = [
  { do: 'load-module', name: 'm' },
  { do: 'trace', on: 'm' },
];
const ATTACK: Step = { do: 'attack', how: 'store-text-after-pte-edit', on: 'm' };

function live(machine: LinuxMachine, steps: readonly Step[]) {
  const result = runScenario(machine, { steps });
  const verdict = bootVerdict(machine, result, HARDENED);
  return {
    result,
    verdict,
    warnings: bootWarnings(machine, result, verdict),
    ids: verdict.findings.map(({ id }) => id),
    exitCode: exitCodeOf(verdict.findings, verdict),
  };
}

describe('the verdict about a life', () => {
  test('is good where rights and claims are kept', () => {
    const { ids, exitCode, verdict, warnings } = live(machineWith({}), [...PATCHED, ATTACK]);
    expect({ ids, exitCode, warnings }).toEqual({ ids: [], exitCode: 0, warnings: [] });
    expect(verdict).toMatchObject({ inForce: true, refusal: undefined });
  });

  test('sees rights that no mapping allows, though every step came out as expected (B-H1)', () => {
    const { result, ids, exitCode, warnings } = live(machineWith({ 'B-H1': true }), PATCHED);
    expect(result.expected).toBe(true);
    expect({ ids, exitCode }).toEqual({ ids: ['rights-beyond-mappings'], exitCode: 1 });
    const [warning] = warnings;
    expect(warning).toMatchObject({ id: 'rights-beyond-mappings' });
    const ranges = warning?.ranges ?? [];
    const pages = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(warning?.message).toBe(`${pages} pages are granted more than any mapping allows`);
    expect(new Set(ranges.map(({ mapped, granted }) => `${mapped} ${granted}`))).toContain('r-x rwx');
  });

  test('sees a claim that is not kept, whatever the scenario expects', () => {
    for (const expectation of [undefined, 'blocked', 'works'] as const) {
      const attack: Step = expectation === undefined ? ATTACK : { ...ATTACK, expect: expectation };
      const { ids, exitCode, result } = live(machineWith({ 'B-H1': true }), [...PATCHED, attack]);
      expect(result.steps.at(-1)).toMatchObject({ verdict: 'works', claimed: true });
      expect({ ids, exitCode }).toEqual({
        ids: ['claimed-attack-succeeded', 'rights-beyond-mappings'],
        exitCode: 1,
      });
    }
  });

  test('does not fail by an unclaimed attack, unless the scenario wants it stopped', () => {
    const attack: Step = { do: 'attack', how: 'execute-data' };
    const unclaimed = live(machineWith({}, false), [attack]);
    expect(unclaimed.result.steps[0]).toMatchObject({ verdict: 'works', claimed: false, expected: false });
    expect({ ids: unclaimed.ids, exitCode: unclaimed.exitCode }).toEqual({ ids: [], exitCode: 0 });
    expect(unclaimed.warnings.map(({ id }) => id)).toEqual(['rights-not-withheld']);
    const wanted = live(machineWith({}, false), [{ ...attack, expect: 'blocked' }]);
    expect({ ids: wanted.ids, exitCode: wanted.exitCode }).toEqual({ ids: ['unexpected'], exitCode: 1 });
  });

  test('claims nothing of pages that their own mappings open', () => {
    const open = createLinuxMachine({
      hypervisor: createKvm(),
      memoryMap: pcMemoryMap(64 * 2 ** 20),
      commandLine: 'rodata=off',
      attackable: true,
    });
    const { result, ids, exitCode, warnings } = live(open, [{ do: 'attack', how: 'store-text' }]);
    expect(result.steps).toMatchObject([{ verdict: 'works', claimed: false }]);
    expect({ ids, exitCode }).toEqual({ ids: [], exitCode: 0 });
    expect(warnings.map(({ id }) => id)).toContain('writable-and-executable');
    const opened = warnings.find(({ id }) => id === 'writable-and-executable')?.ranges ?? [];
    expect(opened[0]).toMatchObject({ start: 0x1000, mapped: 'rwx', granted: 'rwx' });
    expect(opened[0]?.writableAt).toBeDefined();
  });

  test('tells a kernel that does not want Heki from one that is refused', () => {
    const off = createLinuxMachine({
      hypervisor: createKvm(),
      memoryMap: pcMemoryMap(64 * 2 ** 20),
      commandLine: 'heki=0',
    });
    const unwanted = live(off, []);
    expect(unwanted.warnings).toEqual([
      { id: 'not-in-force', message: 'nothing is protected: Heki is switched off on the command line' },
    ]);
    expect(unwanted.verdict).toMatchObject({
      inForce: false,
      findings: [],
      refusal: { outcome: 'disabled', message: 'Heki is switched off on the command line', error: null },
    });
    const refusing = createLinuxMachine({
      hypervisor: createKvm(),
      memoryMap: pcMemoryMap(64 * 2 ** 20),
      driver(guest) {
        guest.hypervisor = { lockCrs: () => 0, protectMemory: () => -12 };
        return true;
      },
    });
    const refused = live(refusing, []);
    expect(refused.verdict).toMatchObject({
      inForce: false,
      refusal: {
        outcome: 'memory-refused',
        message: 'Heki gave up: the hypervisor does not protect the memory',
        error: -12,
      },
    });
    expect({ ids: refused.ids, exitCode: refused.exitCode }).toEqual({ ids: ['refused'], exitCode: 1 });
  });
});

test.each([
  ['kvm'],
  ['kvm', '--no-mbec'],
  ['kvm-vmm'],
  ['kvm-vtl'],
  ['kvm-planes'],
  ['hyperv'],
  ['hyperv-lvbs'],
  ['xen'],
])(
  'on %s %s each attack that is claimed to be stopped is stopped, by what the machine reports',
  async (name, ...mbec) => {
    const how = ['store-text', 'store-text-after-pte-edit', 'execute-data', 'clear-smep', 'switch-heki-off'];
    const path = join(scratch, 'attacks.json');
    writeFileSync(path, JSON.stringify({ steps: how.map((attack) => ({ do: 'attack', how: attack })) }));
    const args = ['boot', '--scenario', path, '--memory', '64MiB', '--hypervisor', name, ...mbec, '--json'];
    const { exitCode, stdout } = await runCommand(args);
    const { steps, verdict } = JSON.parse(stdout);
    expect({ exitCode, findings: verdict.findings }).toEqual({ exitCode: 0, findings: [] });
    const split = name !== 'xen' && mbec.length === 0;
    expect(steps.map((step: Record<string, unknown>) => [step.verdict, step.by, step.claimed])).toEqual([
      ['blocked', 'guest-page-tables', true],
      ['blocked', 'second-level', true],
      split ? ['blocked', 'second-level', true] : ['works', null, false],
      ['blocked', 'cr-pin', true],
      ['blocked', 'second-level', true],
    ]);
  },
);

describe('heki boot under rfc-v2', () => {
  const boot = (file: string, ...args: string[]) =>
    runCommand(['boot', '--scenario', projectFile(`examples/${file}`), ...args]);

  test('shows pages that no mapping lets be written and executed, and fails for them only when it is strict', async () => {
    const { exitCode, stdout } = await boot('boot-jit-churn/rfc-v2.json', '--json');
    const { expected, verdict, warnings } = JSON.parse(stdout);
    expect({ exitCode, expected }).toEqual({ exitCode: 0, expected: true });
    expect(verdict.findings).toEqual([
      {
        id: 'rights-beyond-mappings',
        message: '488 pages are granted more than any mapping allows',
        fails: false,
      },
    ]);
    expect(warnings[0].ranges[0]).toEqual({ pa: '0x98000', epa: '0x99000', mapped: 'r--', granted: 'rw-' });
    const strict = await boot('boot-jit-churn/rfc-v2.json', '--strict');
    expect(strict.exitCode).toBe(1);
    expect(strict.stdout).toContain('FAILS: 488 pages are granted more than any mapping allows.');
    expect(strict.stdout).toContain('  guest-physical 0x98000-0x98fff, mapped r--, granted rw-');
  });

  test('shows attacks that get through, and who claims to stop them', async () => {
    const { exitCode, stdout } = await boot('boot-attacks/rfc-v2.json', '--json');
    expect(exitCode).toBe(0);
    const { steps, verdict } = JSON.parse(stdout);
    const attacks = steps.filter(({ step }: { step: { do: string } }) => step.do === 'attack');
    expect(
      attacks.map(({ verdict: came, by, claimed }: Record<string, unknown>) => [came, by, claimed]),
    ).toEqual([
      ['blocked', 'second-level', true],
      ['works', null, true],
      ['blocked', 'second-level', true],
      ['blocked', 'cr-pin', true],
      ['works', null, false],
    ]);
    expect(attacks[4].claimedBy['rfc-v2']).toEqual([]);
    expect(attacks[4].claimedBy.hardened).toContain('kvm');
    expect(verdict.findings[0]).toEqual({
      id: 'claimed-attack-succeeded',
      message:
        'this attack succeeds, and the machine claims to stop it: attack store-text-after-pte-edit driver',
      fails: false,
    });
  });

  test('work is held to the same', async () => {
    const work = ['boot', '--workload', 'jit', '--profile', 'rfc-v2', '--memory', '64MiB', '--json'];
    const { exitCode, stdout } = await runCommand(work);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout).workloads[0].warnings).toMatchObject([
      { id: 'rights-beyond-mappings', message: expect.stringMatching(/^kvm, rfc-v2: \d+ pages are granted/) },
    ]);
    expect((await runCommand([...work, '--strict'])).exitCode).toBe(1);
  });
});
