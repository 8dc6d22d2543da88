import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { expectSameVerdict } from '../testing/protect-verdict.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-redacted-'));
afterAll(() => rmSync(scratch, { recursive: true }));
beforeEach(() => {
  for (const name of readdirSync(scratch)) rmSync(join(scratch, name));
});

const at = (name: string): string => join(scratch, name);
const randomized = fixturePath('k61-256-kaslr');

async function redact(snapshot: string, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand([
    ...['extract', snapshot, '-o', at('small.elf.gz'), '--redact'],
    ...args,
  ]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

// `fixtures.long.test.ts` has all kernels.
test.each(['k61-256-kaslr', 'k61-256-la57-kaslr', 'k61-256-tampered-text-alias'] as const)(
  'the redacted extract of %s gets the verdict of the snapshot',
  (name) => expectSameVerdict(name, at('small.elf.gz'), '--redact'),
);

describe('the redacted extract', () => {
  test('has nothing of what KASLR chose', async () => {
    await redact(randomized);
    const { stdout } = await runCommand(['protect', at('small.elf.gz'), '--json']);
    expect(JSON.parse(stdout).tables).toMatchObject({ directMap: '0xffff900000000000', proven: true });
    const { stdout: leaf } = await runCommand([
      'walk',
      at('small.elf.gz'),
      '--range',
      'ffffffff80000000-ffffffff81001000',
    ]);
    expect(leaf).toContain('ffffffff81000000-ffffffff81000fff  0000000001000000');
  });

  test('is the same when it is redacted again, and so is what stands beside it', async () => {
    await redact(randomized);
    await runCommand(['extract', at('small.elf.gz'), '-o', at('again.elf.gz'), '--redact']);
    await runCommand(['extract', at('small.elf.gz'), '-o', at('plain.elf.gz')]);
    for (const end of ['elf.gz', 'json']) {
      expect(readFileSync(at(`again.${end}`)).equals(readFileSync(at(`small.${end}`)))).toBe(true);
      expect(readFileSync(at(`plain.${end}`)).equals(readFileSync(at(`small.${end}`)))).toBe(true);
    }
  });

  test('has beside it memory, and the symbols that attacks are aimed by, where they are now', async () => {
    await redact(randomized);
    const source = JSON.parse(readFileSync(projectFile('fixtures/k61-256-kaslr.json'), 'utf8'));
    const moved = (name: string) =>
      `0x${(BigInt(source.symbols[name]) - BigInt(source.symbols._text) + 0xffff_ffff_8100_0000n).toString(16)}`;
    expect(JSON.parse(readFileSync(at('small.json'), 'utf8'))).toEqual({
      page_offset_base: '0xffff900000000000',
      cr4: '0x750eb0',
      efer: '0xd01',
      iomem: [
        '00000000-00000fff : Reserved',
        '00001000-0009fbff : System RAM',
        '0009fc00-0009ffff : Reserved',
        '000f0000-000fffff : Reserved',
        '00100000-0ffdffff : System RAM',
        '0ffe0000-0fffffff : Reserved',
        'fffc0000-ffffffff : Reserved',
        'fd00000000-ffffffffff : Reserved',
      ],
      symbols: { _stext: moved('_stext'), _text: moved('_text'), _sdata: moved('_sdata') },
    });
  });

  test('has devices without names, and only those that memory stands in', async () => {
    writeFileSync(at('bare.elf.gz'), readFileSync(randomized));
    writeFileSync(
      at('iomem'),
      [
        '00001000-0009fbff : System RAM',
        '000a0000-000bffff : PCI Bus 0000:00',
        '00100000-07ffffff : System RAM',
        '  00200000-002fffff : Kernel code',
        '08000000-0ffdffff : hmem.0',
        '  08000000-0ffdffff : Soft Reserved',
        '    08000000-0ffdffff : dax0.0',
        '      08000000-0ffdffff : System RAM (kmem)',
        '10000000-1fffffff : PCI Bus 0000:00',
        '  10000000-10000fff : 0000:00:02.0',
      ].join('\n'),
    );
    await runCommand([
      'extract',
      at('bare.elf.gz'),
      '-o',
      at('small.elf.gz'),
      '--redact',
      '--memory-map',
      at('iomem'),
    ]);
    expect(JSON.parse(readFileSync(at('small.json'), 'utf8'))).toEqual({
      iomem: [
        '00001000-0009fbff : System RAM',
        '00100000-07ffffff : System RAM',
        '08000000-0ffdffff : device',
        '  08000000-0ffdffff : Soft Reserved',
        '    08000000-0ffdffff : device',
        '      08000000-0ffdffff : System RAM (kmem)',
      ],
    });
  });

  test("keeps a crash kernel's memory where its pages went", async () => {
    await redact(projectFile('fixtures/foreign/k61-crash-kernel.elf.gz'));
    const { iomem } = JSON.parse(readFileSync(at('small.json'), 'utf8'));
    // It lies above the kernel's image, so it stays; below, it would have moved up by the image's size.
    expect(iomem).toContain('  34000000-3dffffff : Crash kernel');
  });
});

describe('the report of a redacted extract', () => {
  const subjects = (list: readonly { readonly subject: string }[]) => list.map(({ subject }) => subject);

  test('says what is left out, and what of KASLR is still to be seen', async () => {
    const report = JSON.parse(await redact(randomized, '--json'));
    expect(report.redacted).toBe(true);
    expect(subjects(report.discloses)).toEqual([
      ...['page-tables', 'registers', 'vmcoreinfo', 'memory-map', 'symbols', 'region-sides'],
    ]);
    expect(subjects(report.leavesOut)).toEqual([
      ...['contents', 'user-mappings', 'kaslr', 'general-registers', 'names'],
    ]);
  });

  test('tells of the GiB of the image where the direct map does', async () => {
    const report = JSON.parse(
      await redact(projectFile('fixtures/foreign/k612-8g-1g-leaves.elf.gz'), '--json'),
    );
    expect(subjects(report.discloses)).toContain('image-gib');
  });
});

test('user mappings are not redacted: both cannot be asked for', async () => {
  const args = ['extract', randomized, '-o', at('small.elf.gz'), '--redact', '--user'];
  const { exitCode, stderr } = await runCommand(args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('--user --redact: user mappings cannot be redacted');
  expect(readdirSync(scratch)).toEqual([]);
});
