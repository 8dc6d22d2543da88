import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { CR4 } from '@heki/x86';
import { afterAll, describe, expect, test } from 'vitest';
import { expectAttacks, expectPublishedRanges, protect, shortly } from '../testing/attack-table.ts';
import { controlRegister, coreBytes, setControlRegister } from '../testing/mutated-core.ts';
import {
  FIXTURES_OF_EACH_KIND,
  type Fixture,
  fixturePath,
  projectFile,
  ranOnce,
  runCommand,
} from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-protect-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('the attack table', () => {
  test.each(FIXTURES_OF_EACH_KIND)('is right for %s, rfc-v2, with MBEC', (name) =>
    expectAttacks(name, 'rfc-v2', true),
  );

  // Under hardened, and without MBEC, only what stops an attack is another.
  test.each<[name: Fixture, profile: 'hardened' | 'rfc-v2', mbec: boolean]>([
    ['k61-256-la57-kaslr', 'hardened', true],
    ['k61-256-nokaslr', 'hardened', true],
    ['k61-256-rodataoff', 'hardened', true],
    ['k61-256-tampered-text-alias', 'hardened', true],
    ['k61-256-nokaslr', 'hardened', false],
    ['k61-256-rodataoff', 'hardened', false],
    ['k61-256-nokaslr', 'rfc-v2', false],
    ['k61-256-tampered-text-alias', 'rfc-v2', false],
  ])('is right for %s, %s, with MBEC: %s', expectAttacks);
});

describe.each([[], ['--no-mbec']])('on KVM with the policy elsewhere %j', (...options) => {
  test.each(['kvm-vmm', 'kvm-vtl'])(
    '%s gets the same calls and stops the same attacks',
    async (hypervisor) => {
      const kernel = await protect('k61-256-nokaslr', ...options);
      const other = await protect('k61-256-nokaslr', '--hypervisor', hypervisor, ...options);
      expect(other.hypercalls).toEqual(kernel.hypercalls);
      expect(other.pages).toEqual(kernel.pages);
      expect(other.controlRegisters).toEqual(kernel.controlRegisters);
      expect(other.attacks.map((attack) => shortly(attack.with))).toEqual(
        kernel.attacks.map((attack) => shortly(attack.with)),
      );
    },
  );
});

describe('the bits of control registers that are enforced', () => {
  const told = async (...args: string[]): Promise<string[]> => {
    const { stdout } = await runCommand(['protect', fixturePath('k61-256-nokaslr'), ...args]);
    return stdout.split('\n').filter((line) => /stays? (set|clear)$|in name only|^ {2}nothing$/.test(line));
  };

  test('are those that a MOV does not change', async () => {
    expect(await told()).toEqual(['  CR0  WP and CR4 UMIP FSGSBASE SMEP SMAP stay set']);
    expect(await told('--profile', 'rfc-v2')).toEqual([
      '  warning: CR0.WP, CR4.FSGSBASE are pinned in name only: a MOV changes them all the same',
      '  CR4  UMIP SMEP SMAP stay set',
    ]);
    expect(await told('--hypervisor', 'none')).toEqual(['  nothing']);
  });

  test('are told by their value where a pin keeps it, set or clear', async () => {
    expect(await told('--hypervisor', 'hyperv')).toEqual([
      '  CR0  PE WP PG and CR4 PSE PAE OSFXSR OSXMMEXCPT UMIP FSGSBASE OSXSAVE SMEP SMAP PKE stay set',
      '  CR4  VME PVI TSD DE LA57 SMXE PCIDE KL CET PKS UINTR LASS LAM_SUP FRED stay clear',
    ]);
  });

  test('may be all that is enforced, where the rest was refused', async () => {
    const core = coreBytes('k61-256-nokaslr');
    setControlRegister(core, 4, controlRegister(core, 4) & ~(CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE));
    const path = join(scratch, 'no-pinned-bits.elf');
    writeFileSync(path, core);
    const { stdout, exitCode } = await runCommand([
      ...['protect', path, '--profile', 'rfc-v2', '--no-defect', 'B-H13'],
    ]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('  no page\n  CR0  WP stays set\n');
  });
});

describe('what the kernel sends', () => {
  test.each(FIXTURES_OF_EACH_KIND)(
    'is under rfc-v2 what the published guest core sends for %s',
    expectPublishedRanges,
  );

  test('is told in full: counters, pins, hypercalls and the kernel log', async () => {
    const report = await protect('k61-256-nokaslr');
    expect(report.kernel).toMatch(/^Linux version 6\.1\.0-56-cloud-amd64 /);
    expect(report.earlyInit).toEqual({ leaves: 5065, pages: 14262 });
    expect(report.controlRegisters).toEqual({ cr0: '0x10000', cr4: '0x310800' });
    expect(report.hypercalls.map(({ nr, result }) => [nr, result])).toEqual([
      [13, 1],
      [13, 0],
      [13, 0],
      [14, 0],
    ]);
    expect(report.pages).toEqual({ 'r--': 2244, 'r-x': 4389, 'rw-': 58871, rwx: 0 });
    expect(report.log).toEqual([
      'heki-guest: Heki is enabled',
      'heki-guest: Heki is supported by the active Hypervisor',
      'heki-guest: Control registers locked',
      'heki-guest: Guest memory protected',
    ]);
  });

  test('leaves the trampoline executable only under hardened: as published it loses that (B-G6)', async () => {
    const { pages: mended } = await protect('k61-256-nokaslr');
    const { pages: published } = await protect('k61-256-nokaslr', '--profile', 'rfc-v2');
    expect([mended['r-x'], published['r-x']]).toEqual([4389, 4387]);
  });
});

describe('the report for people', () => {
  test('shows the embedded Debian kernel when no snapshot is named', async () => {
    const { exitCode, stdout, stderr } = await ranOnce('protect');
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain('Linux 6.1.0-56-cloud-amd64 (Debian 6.1.192-2)');
    expect(stdout).toContain(
      'k61-256-nokaslr.elf.gz (comes with heki): page tables and registers; contents not in the snapshot',
    );
    expect(stdout).toContain(
      'built for Heki: no KASLR, no jump labels (--kernel-config FILE shows what a real build does)',
    );
    expect(stdout).toContain('16.0 MiB added at 0x100000000 for page lists');
    expect(stdout).toContain('EPT violation 0x5ea (write, page r-xu)');
    expect(stdout).toContain('Heki stops 3 attacks that the kernel alone cannot stop.');
    expect(stdout).not.toContain('\u001b');
  });

  test('is coloured on a terminal, and not where NO_COLOR is set', async () => {
    const coloured = await runCommand(['protect'], { terminal: true });
    const plain = await runCommand(['protect'], { terminal: true, env: { NO_COLOR: '1' } });
    expect(coloured.stdout).toContain('\u001b[');
    expect(plain.stdout).not.toContain('\u001b');
    expect(stripVTControlCharacters(coloured.stdout)).toBe(plain.stdout);
  });

  test('warns of pages that are writable here and executable there, and says where', async () => {
    const { stdout } = await ranOnce('protect', fixturePath('k61-256-tampered-text-alias'));
    expect(stdout).toContain(
      'WARNING: 512 pages are writable through one mapping and executable through another.',
    );
    expect(stdout).toContain(
      'guest-physical 0x1000000-0x11fffff, writable at 0xffff888001000000 (direct map, of _text, in kernel text, 0xffffffff81000000), executable at 0xffffffff81000000 (_text, in kernel text)',
    );
    const { stdout: sound } = await ranOnce('protect');
    expect(sound).not.toContain('WARNING');
  });

  test('explains a livelock, and what is lost without MBEC', async () => {
    const { stdout } = await runCommand(['protect', '--profile', 'rfc-v2', '--no-mbec']);
    expect(stdout).toContain('retries for ever');
    expect(stdout).toContain(
      'without MBEC, EPT cannot deny execution to the kernel alone: 61,117 pages stay executable',
    );
    expect(stdout).toContain('Heki does not stop this: clear NX in the PTE, execute kernel data.');
  });

  test('explains a livelock of exits, which no handler of the kernel hears of', async () => {
    const amd = projectFile('fixtures/foreign/k612-epyc-kvm.elf.gz');
    const { stdout } = await runCommand(['protect', amd, '--profile', 'rfc-v2']);
    expect(stdout).toContain('without an answer, and it exits for ever');
    expect(stdout).not.toContain('stale TLB entry');
  });

  test('traces the two-step injection: the first exit maps the page, the second becomes #PF', async () => {
    const { stdout } = await runCommand(['protect', '--trace']);
    const lines = stdout.split('\n').map((line) => line.trim());
    const from = lines.findIndex((line) => line.startsWith('machine  attack store-text-after-pte-edit: set'));
    const to = lines.findIndex((line) => line.startsWith('machine  attack execute-data: clear'));
    const ofText = lines.slice(from, to).filter((line) => /0x1000000|gfn 0x1000 |#PF|handler/.test(line));
    expect(ofText.slice(0, 9)).toEqual([
      'vcpu0    exit: EPT violation at 0x1000000, qualification 0x582',
      'kvm      EPT violation at 0x1000000, qualification 0x582, error code 0x100000002',
      'kvm      mapped gfn 0x1000 to pfn 0x101000 with a leaf of 2 MiB: 0x8200000000000d75',
      'vcpu0    exit: EPT violation at 0x1000000, qualification 0x5ea',
      'kvm      EPT violation at 0x1000000, qualification 0x5ea, error code 0x100000003',
      'kvm      heki: Creating write #PF at 0xffffffff81000000 GFN=1000',
      'kvm      denied: write of guest-physical 0x1000000 through 0xffffffff81000000, page-fault',
      'kvm      injected #PF, error code 0x3, CR2 0xffffffff81000000',
      'vcpu0    entry: inject #PF 0x3 (P W)',
    ]);
    expect(ofText.slice(-2)).toEqual([
      'vcpu0    handler: fatal',
      'machine  attack store-text-after-pte-edit: blocked: EPT forbids it: violation 0x5ea, injected as #PF 0x3 (P W)',
    ]);
  });
});
