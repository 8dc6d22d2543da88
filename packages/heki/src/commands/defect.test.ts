import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describePageClass, type PageClass } from '@heki/scenario';
import { afterAll, expect, test } from 'vitest';
import { projectFile, runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-defect-'));
afterAll(() => rmSync(folder, { recursive: true }));

function scenarioFile(scenario: object): string {
  const file = join(folder, 'scenario.json');
  writeFileSync(file, JSON.stringify(scenario));
  return file;
}

/** What is found of each kind of pages, from the JSON of a boot. */
function findings(classes: readonly PageClass[]): Readonly<Record<string, string>> {
  const found = classes.map((one) => {
    const counts = { mappings: new Map(), granted: new Map() };
    return [one.name, describePageClass({ ...one, ...counts }).finding] as const;
  });
  return Object.fromEntries(found.filter(([, finding]) => finding !== 'as mapped'));
}

test.each([
  [
    ['protect', '--defect', 'B-H99'],
    'heki: defect B-H99: neither the guest nor the hypervisor kvm has it: like it are',
  ],
  [['protect', '--defect', 'B-G10'], 'heki: defect B-G10: neither the guest nor the hypervisor kvm has it'],
  [['boot', '--defect', 'B-H1', '--hypervisor', 'xen'], 'neither the guest nor the hypervisor xen has it'],
  [
    ['boot', '--no-defect', 'B-H1', '--hypervisor', 'none'],
    'neither the guest nor the hypervisor none has it',
  ],
  [['boot', '--defect', 'B-G19', '--hypervisor', 'xen'], "defect B-G19: it is of KVM's driver in the guest"],
  [['boot', '--workload', 'all', '--defect', 'B-G9'], 'defect B-G9: no machine shows it'],
  [['kunit', '--defect', 'B-L1'], 'neither the guest nor the hypervisor kvm has it'],
  [
    ['boot', '--secure-kernel', 'lvbs-2026-02'],
    '--secure-kernel: kvm has none, expected --hypervisor hyperv',
  ],
  [['boot', '--hlat', '--hypervisor', 'xen'], '--hlat: xen has none, expected --hypervisor kvm'],
  [['boot', '--hlat', '--cpu', 'intel-skylake'], '--hlat: the processor intel-skylake has none'],
  [['boot', '--secure-kernel', 'lvbs'], '--secure-kernel lvbs: expected one of hardened, lvbs-2026-02'],
])('%j is refused as called wrongly, with what can be had', async (args, message) => {
  const { exitCode, stdout, stderr } = await runCommand(args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(message);
});

const FINDINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'B-H1': { 'module rodata': '3 with more than any mapping has' },
  'B-G4': { 'module text': '4 writable and executable', 'module rodata': '3 with more than any mapping has' },
};

test.each([
  ['B-H1', ['--defect', 'B-H1']],
  ['B-G4', ['--defect', 'B-G4']],
  ['none', ['--defect', 'B-H1', '--no-defect', 'B-H1']],
])('each defect alone shows in what pages are granted: %s', async (id, args) => {
  const life = scenarioFile({ machine: { memory: '64MiB' }, steps: [{ do: 'load-module', name: 'm' }] });
  const { stdout } = await runCommand(['boot', '--scenario', life, '--json', ...args]);
  const { classes } = JSON.parse(stdout);
  expect(findings(classes)).toEqual(FINDINGS[id] ?? {});
});

test('a scenario names its defects and its processor, and options say the last word about each', async () => {
  const life = scenarioFile({
    machine: {
      memory: '64MiB',
      defects: { 'B-H1': true },
      cpu: { base: 'amd-zen4', npt: { gmet: false } },
    },
    steps: [{ do: 'load-module', name: 'm' }],
  });
  const { stdout } = await runCommand([
    'boot',
    '--scenario',
    life,
    '--no-defect',
    'B-H1',
    '--defect',
    'B-G4',
  ]);
  expect(stdout).toContain('processor  amd-zen4 (gmet false)');
  expect(stdout).toContain('kvm, no GMET; profile hardened with B-G4, without B-H1');
});

test('a scenario with an unknown defect is refused', async () => {
  const life = scenarioFile({ machine: { defects: { 'B-H0': true } } });
  const { exitCode, stderr } = await runCommand(['boot', '--scenario', life]);
  expect(exitCode).toBe(3);
  expect(stderr).toContain('defect B-H0: neither the guest nor the hypervisor kvm has it: like it are B-H1');
});

test('the secure kernel of Hyper-V runs as it was published', async () => {
  const args = ['boot', '--memory', '64MiB', '--hypervisor', 'hyperv-lvbs'];
  const { stdout } = await runCommand([...args, '--secure-kernel', 'lvbs-2026-02', '--no-defect', 'B-L1']);
  expect(stdout).toContain('profile hardened, without B-L1; secure kernel lvbs-2026-02');
});

test('protect and replay tell in JSON which defects they were run with', async () => {
  const { stdout } = await runCommand(['protect', '--defect', 'B-H1', '--no-defect', 'B-G1', '--json']);
  expect(JSON.parse(stdout).defects).toEqual({ 'B-H1': true, 'B-G1': false });
  const { exitCode, stderr } = await runCommand([
    'replay',
    projectFile('vectors/counters/real-6.1-256m.json.gz'),
    '--no-defect',
    'B-G5',
  ]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('--no-defect B-G5');
});
