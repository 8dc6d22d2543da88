import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CR0, CR4 } from '@heki/x86';
import { afterAll, describe, expect, test } from 'vitest';
import { CPU_NAMES } from './cpu-names.ts';
import { controlRegister, coreBytes, pagesOf, setControlRegister } from './testing/mutated-core.ts';
import { fixturePath, projectFile, ranOnce, runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-processor-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const KERNEL = 'k61-256-nokaslr';
const TEXT = 'ffffffff81000000';

/** A dump in the scratch folder, with what stands beside it. */
function dump(name: string, core: Buffer, sidecar?: object): string {
  const path = join(scratch, `${name}.elf`);
  writeFileSync(path, core);
  if (sidecar !== undefined) writeFileSync(join(scratch, `${name}.json`), JSON.stringify(sidecar));
  return path;
}

function withCr4(bits: bigint): Buffer {
  const core = coreBytes(KERNEL);
  setControlRegister(core, 4, controlRegister(core, 4) | bits);
  return core;
}

async function json(...args: string[]) {
  // What is in the scratch folder is another each time.
  const isOwn = args.some((argument) => argument.startsWith(scratch));
  const { exitCode, stdout, stderr } = await (isOwn
    ? runCommand([...args, '--json'])
    : ranOnce(...args, '--json'));
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return JSON.parse(stdout);
}

test('--cpu takes the names of the profiles, and says so where it is given another', async () => {
  for (const command of [
    ['protect'],
    ['translate', fixturePath(KERNEL), TEXT],
    ['walk', fixturePath(KERNEL)],
    ['boot'],
    ['kunit'],
    ['backends'],
  ]) {
    const { exitCode, stderr } = await runCommand([...command, '--cpu', 'z80']);
    expect([exitCode, stderr]).toEqual([2, `heki: --cpu z80: expected one of ${CPU_NAMES.join(', ')}\n`]);
  }
});

describe('registers of a dump', () => {
  async function warningsOf(core: Buffer, ...args: string[]): Promise<{ id: string; message: string }[]> {
    const path = dump('registers', core);
    const { stdout } = await runCommand(['walk', path, '--format', 'json', ...args]);
    return JSON.parse(stdout).warnings;
  }

  test.each([
    ['CR0.WP', 0, CR0.WP],
    ['CR4.SMEP', 4, CR4.SMEP],
    ['CR4.SMAP', 4, CR4.SMAP],
    ['CR4.UMIP', 4, CR4.UMIP],
  ] as const)('that are not alike on all CPUs are said: %s', async (name, register, bit) => {
    const core = coreBytes('foreign/k61-la57-pti-2cpus');
    expect(await warningsOf(core)).toEqual([]);
    setControlRegister(core, register, controlRegister(core, register, 1) & ~bit, 1);
    const differ = (which: number, state: string) => ({
      id: 'cpus-differ',
      message: `${name} is ${state} on CPU ${which}, unlike on the CPU by whose registers everything is tried (--cpu-index names another)`,
    });
    expect(await warningsOf(core)).toEqual([differ(1, 'clear')]);
    expect(await warningsOf(core, '--cpu-index', '1')).toEqual([differ(0, 'set')]);
    if (name !== 'CR4.SMEP') return;
    const { warnings } = await json('protect', dump('unlike', core));
    expect(warnings).toEqual([differ(1, 'clear')]);
  });

  test('of a CPU that stands on nothing of the kernel leave NXE to the page tables of the kernel', async () => {
    const verdicts = async (core: Buffer) =>
      (await json('protect', dump('elsewhere', core))).attacks.map(
        (attack: { name: string; standing: string }) => [attack.name, attack.standing],
      );
    const core = coreBytes('foreign/k61-pti-user');
    const before = await verdicts(core);
    setControlRegister(core, 3, 0x7777_7000n);
    expect(await verdicts(core)).toEqual(before);
  });

  test('that walk another number of levels than the kernel is known to have are refused', async () => {
    const core = coreBytes('foreign/k61-pti-user');
    setControlRegister(core, 4, controlRegister(core, 4) | CR4.LA57);
    const path = dump('five-levels', core);
    for (const args of [
      ['protect', path],
      ['walk', path],
      ['translate', path, 'ffffffffa4600000'],
    ]) {
      const { exitCode, stderr } = await runCommand(args);
      expect(exitCode).toBe(3);
      expect(stderr).toContain(
        "the kernel's page tables have 4 levels, and no CPU of the dump walks so many: CPU 0 has CR4 0x751eb0",
      );
    }
  });

  test('that no processor takes are said', async () => {
    for (const [register, change, reason] of [
      [0, (cr0: bigint) => cr0 & ~CR0.PE, 'CR0.PG = 1 needs CR0.PE = 1'],
      [0, (cr0: bigint) => cr0 | CR0.NW, 'CR0.NW = 1 needs CR0.CD = 1'],
      [0, (cr0: bigint) => cr0 | (1n << 40n), 'CR0 bits 63:32 are reserved, and 0x10080050033 sets some'],
    ] as const) {
      const core = coreBytes(KERNEL);
      setControlRegister(core, register, change(controlRegister(core, register)));
      expect((await warningsOf(core))[0]).toEqual({
        id: 'impossible-registers',
        message: `CR0 is 0x${controlRegister(core, 0).toString(16)}, which no processor takes: ${reason}: the registers are damaged, or another CPU's`,
      });
    }
    const core = withCr4(CR4.CET);
    setControlRegister(core, 0, controlRegister(core, 0) & ~CR0.WP);
    expect((await warningsOf(core)).map(({ id }) => id)).toEqual([
      'impossible-registers',
      'impossible-registers',
      'cet',
    ]);
  });
});

describe('protect', () => {
  const { VMXE, SMXE, LASS, LAM_SUP, FRED, UINTR, KL, PKS } = CR4;
  test('takes bits that the guest has set for bits that its processor has', async () => {
    const unnamed = 1n << 29n;
    const path = dump('many', withCr4(VMXE | SMXE | LASS | LAM_SUP | FRED | UINTR | KL | PKS | unnamed));
    const report = await json('protect', path);
    expect(report.processor).toMatchObject({
      name: 'intel-vt-rp',
      named: false,
      vendor: 'intel',
      vendorBits: ['VMXE', 'SMXE', 'KL', 'PKS', 'UINTR', 'LASS', 'LAM_SUP'].map((bit) => `CR4.${bit}`),
      lacking: [
        ...['VMXE', 'SMXE', 'KL', 'UINTR', 'LASS', 'LAM_SUP', 'FRED'].map((bit) => `CR4.${bit}`),
        'CR4 bits 0x20000000',
      ],
    });
    const smep = report.attacks.find(({ name }: { name: string }) => name === 'clear-smep');
    expect(smep).toMatchObject({
      without: { outcome: 'succeeded' },
      with: { outcome: 'blocked', by: 'cr-pin' },
    });
    const { stdout } = await runCommand(['protect', path]);
    expect(stdout).toContain('processor  intel-vt-rp and CR4.VMXE, CR4.SMXE, CR4.KL');
  });

  test('knows AMD by the EFER beside the dump, and protects with nested paging', async () => {
    const path = dump('amd', coreBytes(KERNEL), { efer: '0x209d01' });
    copyFileSync(projectFile(`fixtures/${KERNEL}.json`), join(scratch, 'map.json'));
    const report = await json('protect', path, '--memory-map', join(scratch, 'map.json'));
    expect(report.processor).toMatchObject({
      name: 'amd-zen4',
      vendor: 'amd',
      vendorBits: ['EFER.SVME', 'EFER.TCE', 'EFER.AIBRSE'],
      lacking: ['EFER.SVME'],
      efer: '0x209d01',
      eferFrom: 'amd.json',
    });
    expect(report.attacks.map(({ with: { outcome } }: { with: { outcome: string } }) => outcome)).toEqual([
      'blocked',
      'blocked',
      'blocked',
      'blocked',
      'blocked',
      // Remapping, the legitimate store, and asking: nothing stops them.
      'succeeded',
      'succeeded',
      'succeeded',
    ]);
    const { stdout } = await runCommand(['protect', path]);
    expect(stdout).toContain(
      'processor  amd-zen4 and EFER.SVME (assumed by EFER.SVME, EFER.TCE, EFER.AIBRSE; --cpu NAME names another)\n',
    );
    expect(stdout).toContain('hypervisor KVM with nested paging, GMET; profile hardened');
    const { exitCode, stderr } = await runCommand(['protect', path, '--hypervisor', 'xen']);
    expect([exitCode, stderr]).toEqual([
      2,
      expect.stringMatching(/^heki: --hypervisor xen: modelled with EPT alone/),
    ]);
  });

  test('takes the processor that it is told, and says what speaks against it', async () => {
    const haswell = await json('protect', fixturePath(KERNEL), '--cpu', 'intel-haswell');
    expect(haswell).toMatchObject({ mbec: false, processor: { name: 'intel-haswell', named: true } });
    expect(haswell.warnings[0]).toEqual({
      id: 'cpu-contradicted',
      message:
        'the snapshot is not of intel-haswell: it uses CR4.UMIP, CR4.SMAP, CR4.PKE, which intel-haswell does not have',
    });
    // Without mode-based execute control execution cannot be denied to the kernel alone.
    expect(haswell.warnings.slice(1).map(({ id }: { id: string }) => id)).toEqual(['rights-not-withheld']);
    const skylake = await json('protect', fixturePath(KERNEL), '--cpu', 'intel-skylake');
    expect(skylake.warnings).toMatchObject([{ id: 'cpu-contradicted' }]);
    expect(skylake).toMatchObject({ mbec: true, processor: { lacking: ['CR4.UMIP'] } });
    const { stdout } = await runCommand(['protect', '--cpu', 'amd-zen4', '--no-mbec']);
    expect(stdout).toContain('processor  amd-zen4, as --cpu says');
    expect(stdout).toContain('without GMET, nested paging cannot deny execution to the kernel alone');
  });

  test('takes guests of its own for no contradiction: processors of the vendor have them', async () => {
    const ids = async (path: string, cpu: string): Promise<string[]> =>
      (await json('protect', path, '--cpu', cpu)).warnings.map(({ id }: { id: string }) => id);
    const intel = dump('nested', withCr4(CR4.VMXE));
    expect(await ids(intel, 'intel-vt-rp')).toEqual(['own-guests']);
    expect(await ids(intel, 'amd-zen4')).toEqual(['cpu-contradicted', 'own-guests']);
    const amd = projectFile('fixtures/foreign/k612-epyc-kvm.elf.gz');
    expect(await ids(amd, 'amd-zen4')).toEqual(['own-guests']);
    expect(await ids(amd, 'intel-vt-rp')).toEqual(['cpu-contradicted', 'own-guests']);
  });

  test.each([
    ['0x901', 'without LMA: expected the EFER of a guest in 64-bit mode'],
    ['0x501', 'without NXE, but page-table entries have XD set: is it of this guest?'],
  ])('wants an EFER of this guest, which %s is not', async (efer, message) => {
    const path = dump('efer', coreBytes(KERNEL), { efer });
    const { exitCode, stderr } = await runCommand(['translate', path, TEXT]);
    expect(exitCode).not.toBe(0);
    expect(stderr).toBe(`heki: ${join(scratch, 'efer.json')}: efer: ${efer} ${message}\n`);
  });
});

describe('translate', () => {
  /** The dump with bit 50 in the entry for {@link TEXT}: 51 address bits. */
  function highEntry(): string {
    const core = coreBytes(KERNEL);
    const offset = new Map(pagesOf(core)).get(0x2a16000) ?? expect.unreachable();
    core.writeBigUInt64LE(core.readBigUInt64LE(offset + 8 * 8) | (1n << 50n), offset + 8 * 8);
    return dump('high', core);
  }

  test('takes address bits that are in use for bits that the processor has', async () => {
    const path = highEntry();
    const derived = await json('translate', path, TEXT);
    expect(derived).toMatchObject({
      outcome: { kind: 'mapped', gpa: '0x4000001000000' },
      processor: { maxPhysicalAddressBits: 51, lacking: ['51 physical-address bits'] },
    });
    const named = await json('translate', path, TEXT, '--cpu', 'intel-skylake');
    expect(named).toMatchObject({
      outcome: { kind: 'page-fault', errorCode: '0x9' },
      warnings: [{ id: 'stray-text' }, { id: 'cpu-contradicted' }, { id: 'address-bit' }],
    });
  });

  test("walk tells what speaks against the processor that it is told, beside QEMU's text on stderr", async () => {
    const args = ['walk', fixturePath('k61-4g-nokaslr'), '--cpu', 'qemu64'];
    const { exitCode, stdout } = await runCommand(args);
    expect(exitCode).toBe(0);
    const warning = /^warning: the snapshot is not of qemu64: .*, 1-GiB pages, which qemu64 does not/m;
    expect(stdout).toMatch(warning);
    const { stderr } = await runCommand([...args, '--format', 'info-tlb']);
    expect(stderr.replace('heki: ', '')).toMatch(warning);
  });
});

describe('a machine that boots', () => {
  const small = ['--memory', '64MiB'];

  test('has the processor that --cpu or its scenario names, and says which', async () => {
    const scenario = join(scratch, 'cpu.json');
    writeFileSync(scenario, JSON.stringify({ machine: { cpu: 'amd-zen4' } }));
    const { stdout } = await runCommand(['boot', ...small, '--scenario', scenario]);
    expect(stdout).toMatch(/processor {2}amd-zen4\n {2}hypervisor kvm, GMET; profile hardened\n/);
    const named = await runCommand([
      'boot',
      ...small,
      '--scenario',
      scenario,
      '--cpu',
      'intel-haswell',
      '--json',
    ]);
    expect(JSON.parse(named.stdout).machine).toMatchObject({ cpu: 'intel-haswell', mbec: false });
  });

  test('switches on what its processor has: without SMEP there is none to keep', async () => {
    const { exitCode, stdout } = await runCommand(['kunit', ...small, '--cpu', 'qemu64', '--test', '1']);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('Expected cr4 & X86_CR4_SMEP to be set, but CR4 is 0x6b0');
  });

  test.each([
    [
      ['--levels', '5', '--cpu', 'intel-skylake'],
      'levels 5: the processor intel-skylake has no 5-level paging, expected 4',
    ],
    [
      ['--hypervisor', 'hyperv', '--cpu', 'amd-zen4'],
      '--hypervisor hyperv: modelled with EPT alone, which the processor amd-zen4 does not have',
    ],
  ])('is refused with %j, which do not go together', async (args, message) => {
    const { exitCode, stdout, stderr } = await runCommand(['boot', ...small, ...args]);
    expect([exitCode === 0, stdout]).toEqual([false, '']);
    expect(stderr).toContain(`heki: ${message}`);
  });
});
