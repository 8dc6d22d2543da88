import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { protectVerdict } from '../testing/protect-verdict.ts';
import { projectFile, ranOnce, runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-formats-'));
afterAll(() => rmSync(folder, { recursive: true }));

const procVmcore = projectFile('fixtures/formats/proc-vmcore-small.elf.gz');

describe('/proc/vmcore, which has no control registers', () => {
  it('is walked and translated from swapper_pg_dir, and what was assumed is said', async () => {
    const walked = await runCommand(['walk', procVmcore, '--format', 'json']);
    expect(walked.exitCode).toBe(0);
    const { leaves, tables, warnings } = JSON.parse(walked.stdout);
    expect(leaves.length).toBe(11_482);
    expect(tables).toMatchObject({ from: 'swapper_pg_dir', proven: true, cpu: null });
    expect(warnings.map(({ id }: { readonly id: string }) => id)).toEqual(['assumed-registers']);
    const { stdout } = await runCommand(['translate', procVmcore, 'ffffffff90c00000', '--access', 'write']);
    expect(stdout).toContain('#PF 0x3 (P W)');
    expect(stdout).toContain('warning: the dump has no control registers: ');
  });

  it('has no user half until a value for CR3 says where', async () => {
    const { exitCode, stderr } = await runCommand(['walk', procVmcore, '--user']);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/no registers of a CPU.* \(--cpu-index and --cr3 name an address space\)\n$/);
    const named = await runCommand(['walk', procVmcore, '--user', '--cr3', 'ba10000', '--format', 'json']);
    expect(JSON.parse(named.stdout)).toMatchObject({ leaves: [], tables: { from: 'CR3 0xba10000' } });
  });

  it('is protected as it is: CR4 is not believed to have what nothing shows', async () => {
    const { exitCode, stdout } = await ranOnce('protect', procVmcore, '--json');
    expect(exitCode).toBe(0);
    const { tables, controlRegisters, warnings, attacks } = JSON.parse(stdout);
    expect(tables.from).toBe('swapper_pg_dir');
    expect(controlRegisters).toEqual({ cr0: '0x10000', cr4: '0x0' });
    expect(warnings).toContainEqual(expect.objectContaining({ id: 'assumed-registers' }));
    const smep = attacks.find(({ name }: { readonly name: string }) => name === 'clear-smep');
    expect(smep).toMatchObject({ with: { outcome: 'not-tried' } });
  });

  it('has the CR4 that the file beside it tells', async () => {
    const path = join(folder, 'crashed.elf');
    writeFileSync(path, gunzipSync(readFileSync(procVmcore)));
    writeFileSync(join(folder, 'crashed.json'), JSON.stringify({ cr4: '0x750ef0' }));
    const { stdout } = await runCommand(['protect', path, '--json']);
    const { controlRegisters, warnings } = JSON.parse(stdout);
    expect(controlRegisters.cr4).toBe('0x310800');
    expect(warnings[0]?.message).toContain('CR4 is from crashed.json');
  });

  it('is extracted with all that the file beside it tells, and gets the same verdict', async () => {
    const path = join(folder, 'whole.elf');
    writeFileSync(path, gunzipSync(readFileSync(procVmcore)));
    const beside = {
      vmalloc_base: '0xffffa00000000000',
      vmemmap_base: '0xfffff00000000000',
      cr4: '0x750ef0',
    };
    writeFileSync(join(folder, 'whole.json'), JSON.stringify(beside));
    const verdict = await protectVerdict(path);
    for (const options of [[], ['--redact']]) {
      const small = join(folder, 'part.elf.gz');
      const { stdout } = await runCommand(['extract', path, '-o', small, '--force', ...options, '--json']);
      const { detail } = JSON.parse(stdout).discloses.find(
        ({ subject }: { readonly subject: string }) => subject === 'registers',
      );
      expect(detail).not.toContain('control registers');
      const known = JSON.parse(readFileSync(join(folder, 'part.json'), 'utf8'));
      expect(known).toEqual(options.length === 0 ? beside : { cr4: beside.cr4 });
      // A plain extract keeps more than a redacted one.
      if (options.length > 0) expect(await protectVerdict(small)).toEqual(verdict);
    }
  });

  it('that was cut short is read as far as it goes, with a warning', async () => {
    const whole = gunzipSync(readFileSync(procVmcore));
    const path = join(folder, 'cut.elf');
    writeFileSync(path, whole.subarray(0, whole.length - 5000));
    const { exitCode, stdout, stderr } = await runCommand(['walk', path, '--format', 'json']);
    expect(JSON.parse(stdout).warnings).toContainEqual(expect.objectContaining({ id: 'truncated' }));
    expect(exitCode).toBe(1);
    expect(stderr).toContain('cut.elf lacks 1 page-table page');
  });
});

describe('a kdump', () => {
  it('of makedumpfile is walked and protected as QEMU saw the guest, without control registers', async () => {
    const path = projectFile('fixtures/formats/kdump-makedumpfile.gz');
    const walked = await ranOnce('walk', path, '--format', 'info-tlb');
    expect(walked.exitCode).toBe(0);
    expect(createHash('sha256').update(walked.stdout).digest('hex')).toBe(
      'a6abcec94a527f40274d8d3204dffced817eff6f8936850cb283b87d3135e4f0',
    );
    expect(walked.stderr).toContain('warning: the dump has no control registers');
  });

  it('of QEMU, flattened, has them', async () => {
    const path = projectFile('fixtures/formats/kdump-qemu-flattened.gz');
    const { stdout } = await runCommand(['protect', path, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      tables: { from: 'swapper_pg_dir', cpu: 0 },
      controlRegisters: { cr4: '0x310800' },
    });
  });

  it('is extracted as an ELF core, which says the same', async () => {
    const small = join(folder, 'small.elf.gz');
    const path = projectFile('fixtures/formats/kdump-makedumpfile.gz');
    expect((await runCommand(['extract', path, '-o', small])).exitCode).toBe(0);
    const [before, after] = await Promise.all(
      [path, small].map((file) => ranOnce('walk', file, '--format', 'info-tlb')),
    );
    expect(after?.stdout).toBe(before?.stdout);
  });
});
