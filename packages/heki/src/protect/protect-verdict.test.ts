import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { HYPERVISORS } from '../hypervisors.ts';
import { fixturePath, projectFile, ranOnce, runCommand } from '../testing/run-command.ts';
import { exitCodeOf } from '../verdict/finding.ts';
import { openSubject } from './open-subject.ts';
import { protectKernel } from './protect-kernel.ts';
import { protectVerdict } from './protect-verdict.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-verdict-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const SETTINGS = {
  machine: {},
  backend: HYPERVISORS.kvm,
  attacks: [],
  strict: false,
  trace: false,
} as const;

async function protect(path: string, ...args: string[]) {
  const { exitCode, stdout, stderr } = await ranOnce('protect', path, '--json', ...args);
  expect(stderr).toBe('');
  return { exitCode, report: JSON.parse(stdout) };
}

const foreign = (name: string): string => projectFile(`fixtures/foreign/${name}.elf.gz`);
const ids = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id);

describe('the verdict about a protected kernel', () => {
  test('is good where nothing is wrong, and says what was assumed and what is not covered', async () => {
    const { exitCode, report } = await protect(fixturePath('k61-256-nokaslr'));
    expect(exitCode).toBe(0);
    expect(report.verdict).toEqual({
      exitCode: 0,
      strict: false,
      inForce: true,
      refusal: null,
      findings: [],
    });
    expect(report.warnings).toEqual([]);
    expect(ids(report.assumed)).toEqual(['kernel-config', 'processor']);
    expect(new Set(ids(report.notCovered))).toEqual(new Set(['contents', 'memory-map-left-out']));
  });

  test('tells pages that mappings leave writable and executable, where they are and which mappings do so', async () => {
    const { exitCode, report } = await protect(fixturePath('k61-256-tampered-text-alias'));
    expect(exitCode).toBe(0);
    expect(report.warnings).toEqual([
      {
        id: 'writable-and-executable',
        message: '512 pages are writable through one mapping and executable through another',
        explanation: 'Heki grants what the mappings of a page grant together, so it cannot protect them',
        ranges: [
          {
            pa: '0x1000000',
            epa: '0x1200000',
            mapped: 'rwx',
            granted: 'rwx',
            writableAt: '0xffff888001000000',
            executableAt: '0xffffffff81000000',
          },
        ],
      },
    ]);
    // No claim covers a store to what the kernel's own mappings let be written.
    const store = report.attacks.find(({ name }: { name: string }) => name === 'store-text-direct-map');
    expect(store).toMatchObject({ standing: 'not-stopped', claimed: false, with: { outcome: 'succeeded' } });
  });

  test('tells what rfc-v2 grants beyond the mappings, and fails for it only when it is strict', async () => {
    const path = fixturePath('k61-256-nokaslr');
    const { exitCode, report } = await protect(path, '--profile', 'rfc-v2');
    const message = '3 pages are granted more than any mapping allows';
    expect(exitCode).toBe(0);
    expect(report.verdict.findings).toEqual([{ id: 'rights-beyond-mappings', message, fails: false }]);
    expect(report.warnings).toMatchObject([
      { id: 'hollow-pins' },
      {
        id: 'rights-beyond-mappings',
        ranges: [
          { pa: '0x98000', epa: '0x99000', mapped: 'r--', granted: 'rw-' },
          { pa: '0x99000', epa: '0x9b000', mapped: 'r-x', granted: 'rw-' },
        ],
      },
      { id: 'rights-withheld', ranges: [{ pa: '0x99000', epa: '0x9b000', mapped: 'r-x', granted: 'rw-' }] },
    ]);
    const strict = await protect(path, '--profile', 'rfc-v2', '--strict');
    expect(strict.exitCode).toBe(1);
    expect(strict.report.verdict.findings).toEqual([{ id: 'rights-beyond-mappings', message, fails: true }]);
    const { stdout } = await runCommand(['protect', path, '--profile', 'rfc-v2']);
    expect(stdout).toContain(`WARNING: ${message}.`);
    expect(stdout).toContain('guest-physical 0x98000-0x98fff, mapped r--, granted rw-');
    expect(stdout).toContain(`defect: ${message}.`);
  });

  test('does not blame a processor for what it cannot do, and claims nothing there', async () => {
    const { exitCode, report } = await protect(fixturePath('k61-256-nokaslr'), '--no-mbec');
    expect(exitCode).toBe(0);
    expect(report.warnings).toMatchObject([{ id: 'rights-not-withheld' }]);
    const execute = report.attacks.find(({ name }: { name: string }) => name === 'execute-data');
    expect(execute).toMatchObject({ standing: 'not-stopped', claimed: false });
    expect(execute.claimedBy.hardened).toContain('kvm');
    expect(execute.claimedBy.hardened).not.toContain('kvm, no MBEC');
  });

  test.each<[what: string, args: readonly string[], outcome: string, message: string, error: number | null]>([
    [
      'a hypervisor without Heki',
      ['--hypervisor', 'none'],
      'no-hypervisor',
      'Heki found no hypervisor that supports it',
      null,
    ],
    [
      'a kernel without it',
      ['--profile', 'rfc-v2', '--kernel-config', config('jump-labels', 'CONFIG_JUMP_LABEL=y')],
      'not-built',
      'Heki is not in this kernel: ',
      null,
    ],
    [
      'a kernel with KASLR',
      ['--profile', 'rfc-v2', '--kernel-config', config('kaslr', 'CONFIG_RANDOMIZE_BASE=y')],
      'kaslr',
      'Heki refuses: the kernel is built with KASLR (CONFIG_RANDOMIZE_BASE)',
      null,
    ],
  ])('tells why %s is not protected', async (_what, args, outcome, message, error) => {
    const { exitCode, report } = await protect(fixturePath('k61-256-nokaslr'), ...args);
    expect(exitCode).toBe(1);
    expect(report.verdict).toMatchObject({
      inForce: false,
      refusal: { outcome, message: expect.stringContaining(message), error },
    });
    expect(report.verdict.findings).toEqual([
      { id: 'refused', message: report.verdict.refusal.message, fails: true },
    ]);
  });

  test('tells the error of a hypervisor that does not pin, as where no register bit can be pinned', async () => {
    const { exitCode, report } = await protect(foreign('k61-qemu64'), '--profile', 'rfc-v2');
    expect(exitCode).toBe(1);
    expect(report.verdict.refusal).toEqual({
      outcome: 'registers-refused',
      message: 'Heki gave up: the hypervisor does not pin the control registers',
      error: -22,
    });
  });

  test('counts an attack that has nothing to attack neither way', async () => {
    for (const name of ['k61-qemu64', 'k61-clearcpuid-smep']) {
      const { exitCode, report } = await protect(foreign(name));
      expect(exitCode).toBe(0);
      const smep = report.attacks.find((attack: { name: string }) => attack.name === 'clear-smep');
      const side = {
        outcome: 'not-tried',
        by: null,
        errorCode: null,
        reason: 'CR4.SMEP is not set: there is nothing to clear',
      };
      expect(smep).toMatchObject({ without: side, with: side, standing: 'not-tried' });
      const { stdout } = await runCommand(['protect', foreign(name)]);
      expect(stdout).toContain('Heki stops 2 attacks that the kernel alone cannot stop.');
      expect(stdout).toContain('? not tried');
    }
  });

  test('names mapped memory that the memory map does not: it is not protected', async () => {
    const { report } = await protect(fixturePath('k61-4g-nokaslr'));
    const outside = report.notCovered.find(({ id }: { id: string }) => id === 'mapped-outside-memory');
    expect(outside).toMatchObject({
      message: '5 pages are mapped and not RAM in the memory map: devices, or memory without protection',
      ranges: [{ pa: '0xbffe0000', epa: '0xbffe2000', mapped: 'rw-' }, {}, {}, {}],
    });
    const { stdout } = await ranOnce('protect', fixturePath('k61-4g-nokaslr'));
    expect(stdout).toContain('not covered: 5 pages are mapped and not RAM in the memory map');
  });
});

test('a backend that lets go of a pin at the next request is found', async () => {
  const mine = pathToFileURL(projectFile('examples/write-a-backend/src/mine.mjs')).href;
  const path = join(scratch, 'lets-go.mjs');
  // What is pinned last is all that an answer tells of, and MOV to CR0 leaves the guest no more.
  writeFileSync(
    path,
    `import mine, { driver } from ${JSON.stringify(mine)};
export { driver };
export default (settings) => {
  const hypervisor = mine(settings);
  return { ...hypervisor, createVirtualMachine({ onEvent, ...options }) {
    const vm = hypervisor.createVirtualMachine({ ...options, onEvent(event) {
      if (event.type !== 'pinned' || event.result.cr4 === 0n) return onEvent?.(event);
      for (const { controls } of vm.vcpus) controls.svm = { ...controls.svm, cr0Selective: false };
      onEvent?.({ ...event, result: { ...event.result, cr0: 0n } });
    } });
    return vm;
  } };
};`,
  );
  const { exitCode, report } = await protect(
    fixturePath('k61-256-nokaslr'),
    ...['--hypervisor', path, '--cpu', 'amd-zen4'],
  );
  expect(exitCode).toBe(1);
  expect(report.verdict.findings).toEqual([
    {
      id: 'claimed-attack-succeeded',
      message: 'CR0.WP is pinned in name only: a MOV changes it all the same',
      fails: true,
    },
  ]);
});

describe('a verdict that is made worse', () => {
  const report = openSubject(undefined, {}).then((subject) => protectKernel(subject, SETTINGS));
  const judged = async (change: (good: Awaited<typeof report>) => object) => {
    const good = await report;
    const verdict = protectVerdict({ ...good, ...change(good) });
    return { ids: ids(verdict.findings), exitCode: exitCodeOf(verdict.findings, verdict) };
  };

  test('fails for a walk that was cut short', async () => {
    expect(
      await judged(({ granted }) => ({
        granted: { ...granted, mappings: { ...granted.mappings, cutShort: true } },
      })),
    ).toEqual({ ids: ['walk-cut-short'], exitCode: 1 });
  });

  test('fails for an attack that gets through where that is claimed not to happen, and only there', async () => {
    const through = (claimed: boolean) =>
      judged(({ attacks }) => ({
        attacks: attacks.map((one) =>
          one.attack.name === 'execute-data' ? { ...one, standing: 'not-stopped', claimed } : one,
        ),
      }));
    expect(await through(true)).toEqual({ ids: ['claimed-attack-succeeded'], exitCode: 1 });
    expect(await through(false)).toEqual({ ids: [], exitCode: 0 });
  });

  test('fails for a pin that keeps nothing, but where the published series is shown', async () => {
    const hollow = ({ kept }: Awaited<typeof report>) => ({ kept: { ...kept, cr0: 0n } });
    expect(await judged(hollow)).toEqual({ ids: ['claimed-attack-succeeded'], exitCode: 1 });
    expect(await judged((good) => ({ ...hollow(good), profile: 'rfc-v2' }))).toEqual({
      ids: [],
      exitCode: 0,
    });
  });

  test('fails for work that Heki breaks', async () => {
    expect(
      await judged(({ attacks }) => ({
        attacks: attacks.map((one) => (one.attack.legitimate ? { ...one, standing: 'broken' } : one)),
      })),
    ).toEqual({ ids: ['work-broken'], exitCode: 1 });
  });

  test('fails for a request that the hypervisor refused, with what it reported', async () => {
    const refused = await judged(({ hypercalls }) => ({
      inForce: false,
      hypercalls: hypercalls.map((call) =>
        call.listPages.length > 0 ? { ...call, result: -22, why: 'not-memory' } : call,
      ),
    }));
    expect(refused).toEqual({ ids: ['refused'], exitCode: 1 });
  });
});

/** A kernel's configuration with one option. */
function config(name: string, option: string): string {
  const path = join(scratch, `${name}.config`);
  writeFileSync(path, `${option}\n`);
  return path;
}
