import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { expectSameVerdict } from '../testing/protect-verdict.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-extract-'));
afterAll(() => rmSync(scratch, { recursive: true }));
beforeEach(() => {
  for (const name of readdirSync(scratch)) rmSync(join(scratch, name));
});

const kernel = fixturePath('k61-256-nokaslr');
const at = (name: string): string => join(scratch, name);

async function extract(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(['extract', ...args]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

async function refused(...args: string[]): Promise<{ exitCode: number; stderr: string }> {
  const { exitCode, stdout, stderr } = await runCommand(['extract', ...args]);
  expect(stdout).toBe('');
  return { exitCode, stderr };
}

describe('the extract', () => {
  // `fixtures.long.test.ts` has all kernels, and their redacted extracts.
  test.each(['k61-256-la57-kaslr', 'k61-256-nokaslr-pti'] as const)(
    'of %s gets the verdict of the snapshot',
    (name) => expectSameVerdict(name, at('small.elf.gz')),
  );

  test('walks and translates as the snapshot does', async () => {
    await extract(kernel, '-o', at('small.elf.gz'));
    for (const args of [
      ['walk'],
      ['walk', '--format', 'json'],
      ['translate', 'ffffffff81000000', '--access', 'write'],
    ]) {
      const [command = '', ...options] = args;
      const small = await runCommand([command, at('small.elf.gz'), ...options]);
      expect(small.stdout === (await runCommand([command, kernel, ...options])).stdout).toBe(true);
    }
  });

  test('of an extract is the same to the byte, and so is what stands beside it', async () => {
    await extract(kernel, '-o', at('once.elf.gz'));
    await extract(at('once.elf.gz'), '-o', at('twice.elf.gz'));
    for (const end of ['elf.gz', 'json']) {
      expect(readFileSync(at(`twice.${end}`)).equals(readFileSync(at(`once.${end}`)))).toBe(true);
    }
  });

  test('is not packed when its name does not say so', async () => {
    await extract(kernel, '-o', at('small.elf'));
    await extract(kernel, '-o', at('small2.elf.gz'));
    expect(readFileSync(at('small.elf')).equals(gunzipSync(readFileSync(at('small2.elf.gz'))))).toBe(true);
  });

  test('goes to standard output, packed, with the report on standard error', async () => {
    await extract(kernel, '-o', at('small.elf.gz'));
    const { exitCode, bytes, stderr } = await runCommand(['extract', kernel, '-o', '-']);
    expect(exitCode).toBe(0);
    expect(readFileSync(at('small.elf.gz')).equals(bytes)).toBe(true);
    expect(stderr).toMatch(/^standard output: 108 page-table pages of k61-256-nokaslr.elf.gz, packed /);
  });

  test('has beside it what the commands read of the JSON beside the snapshot, and nothing else', async () => {
    await extract(kernel, '-o', at('small.elf.gz'));
    const beside = JSON.parse(readFileSync(at('small.json'), 'utf8'));
    const source = JSON.parse(readFileSync(projectFile('fixtures/k61-256-nokaslr.json'), 'utf8'));
    const { kernel: version, cmdline, page_offset_base, cr4, efer, iomem, symbols } = source;
    expect(beside).toEqual({
      kernel: version,
      cmdline,
      page_offset_base,
      vmalloc_base: source.vmalloc_base,
      vmemmap_base: source.vmemmap_base,
      cr4: `0x${BigInt(cr4).toString(16)}`,
      efer: `0x${BigInt(efer).toString(16)}`,
      iomem,
      symbols,
    });
  });

  test('has beside it the memory map that was given', async () => {
    writeFileSync(at('iomem'), '00001000-0fffffff : System RAM\n');
    writeFileSync(at('bare.elf.gz'), readFileSync(kernel));
    await extract(at('bare.elf.gz'), '-o', at('small.elf.gz'), '--memory-map', at('iomem'));
    expect(JSON.parse(readFileSync(at('small.json'), 'utf8'))).toEqual({
      iomem: ['00001000-0fffffff : System RAM'],
    });
  });

  test('carries over which page is the hypercall page, whose contents it lacks', async () => {
    writeFileSync(at('bare.elf.gz'), readFileSync(kernel));
    writeFileSync(at('bare.json'), '{"hypercall_page": "0x3ecb000"}');
    await extract(at('bare.elf.gz'), '-o', at('small.elf.gz'));
    expect(JSON.parse(readFileSync(at('small.json'), 'utf8'))).toEqual({ hypercall_page: '0x3ecb000' });
  });

  test('stands alone when nothing is known of the guest', async () => {
    writeFileSync(at('bare.elf.gz'), readFileSync(kernel));
    await extract(at('bare.elf.gz'), '-o', at('small.elf.gz'));
    expect(readdirSync(scratch).sort()).toEqual(['bare.elf.gz', 'small.elf.gz']);
  });
});

describe('the report', () => {
  const subjects = (list: readonly { readonly subject: string }[]) => list.map(({ subject }) => subject);

  test('says what the extract discloses and what it leaves out', async () => {
    const report = JSON.parse(await extract(kernel, '-o', at('small.elf.gz'), '--json'));
    expect(report).toMatchObject({
      snapshot: 'k61-256-nokaslr.elf.gz',
      tablePages: 108,
      absentTables: 0,
      roots: [{ address: '0x5a66000', levels: 4, from: 'cr3', cpu: 0 }],
      bytes: readFileSync(at('small.elf.gz')).length,
      user: false,
    });
    expect(subjects(report.discloses)).toEqual([
      'page-tables',
      'registers',
      'vmcoreinfo',
      'kernel-version',
      'command-line',
      'memory-map',
      'symbols',
    ]);
    expect(subjects(report.leavesOut)).toEqual(['contents', 'user-mappings']);
  });

  test('says that the user half is there when it is', async () => {
    const report = JSON.parse(await extract(kernel, '-o', at('small.elf.gz'), '--json', '--user'));
    expect(subjects(report.discloses)).toContain('user-mappings');
    expect(subjects(report.leavesOut)).toEqual(['contents']);
  });

  test('names notes of others without the control characters in their names', async () => {
    const core = gunzipSync(readFileSync(kernel));
    core.write('\u001b[2\u009b', core.indexOf('CORE\0'), 'latin1');
    writeFileSync(at('odd.elf.gz'), gzipSync(core));
    const stdout = await extract(at('odd.elf.gz'), '-o', at('small.elf.gz'));
    expect(stdout).toContain('1 note that heki does not read');
    expect(stdout).not.toMatch(/[^\P{Cc}\n]/u);
  });
});

describe('files that are there', () => {
  test.each(['small.elf.gz', 'small.json'])('are not replaced: %s', async (name) => {
    writeFileSync(at(name), 'precious');
    expect(await refused(kernel, '-o', at('small.elf.gz'))).toEqual({
      exitCode: 1,
      stderr: `heki: ${at(name)}: is there already; --force replaces it\n`,
    });
    expect(readdirSync(scratch)).toEqual([name]);
    expect(readFileSync(at(name), 'utf8')).toBe('precious');
  });

  test('are replaced with --force', async () => {
    writeFileSync(at('small.elf.gz'), 'precious');
    await extract(kernel, '-o', at('small.elf.gz'), '--force');
    expect(gunzipSync(readFileSync(at('small.elf.gz'))).toString('latin1', 1, 4)).toBe('ELF');
    expect(readdirSync(scratch).sort()).toEqual(['small.elf.gz', 'small.json']);
  });

  test('that are links lead to what is replaced', async () => {
    writeFileSync(at('target.elf.gz'), 'precious');
    symlinkSync(at('target.elf.gz'), at('link.elf.gz'));
    await extract(kernel, '-o', at('link.elf.gz'), '--force');
    expect(lstatSync(at('link.elf.gz')).isSymbolicLink()).toBe(true);
    expect(gunzipSync(readFileSync(at('target.elf.gz'))).toString('latin1', 1, 4)).toBe('ELF');
  });

  test('that are devices, pipes or sockets are never replaced', async () => {
    const output = at('pipe.elf.gz');
    execFileSync('sh', ['-c', 'mkfifo "$0"', output]);
    expect(await refused(kernel, '-o', output, '--force')).toEqual({
      exitCode: 1,
      stderr: `heki: ${output}: is a device, a pipe or a socket: expected the name of a file\n`,
    });
    const { exitCode } = await runCommand(['audit', kernel, '--no-heki', '--markdown', output]);
    expect(exitCode).toBe(1);
    expect(statSync(output).isFIFO()).toBe(true);
    expect(readdirSync(scratch)).toEqual(['pipe.elf.gz']);
  });

  test('are never the snapshot itself', async () => {
    writeFileSync(at('own.elf.gz'), readFileSync(kernel));
    const { exitCode, stderr } = await refused(at('own.elf.gz'), '-o', at('own.elf.gz'), '--force');
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('this file is read by the same command'),
    });
    expect(readFileSync(at('own.elf.gz')).equals(readFileSync(kernel))).toBe(true);
  });

  test('are not left behind half when the place cannot be written', async () => {
    expect(await refused(kernel, '-o', at('no/such/folder.elf.gz'))).toEqual({
      exitCode: 1,
      stderr: `heki: ${at('no/such/folder.elf.gz')}: no such file\n`,
    });
    expect(readdirSync(scratch)).toEqual([]);
  });
});

test('a terminal does not get the bytes of a core', async () => {
  const { exitCode, stdout, stderr } = await runCommand(['extract', kernel, '-o', '-'], { terminal: true });
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain('-o -: a terminal cannot take the bytes of a core');
});

test('a place for the output must be named', async () => {
  expect(await refused(kernel)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("required option '-o, --output <file>' not specified"),
  });
});
