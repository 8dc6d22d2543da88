import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectTextOfQemu } from '../testing/expect-text-of-qemu.ts';
import { FIXTURES_OF_EACH_KIND, fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const kernel = fixturePath('k61-256-nokaslr');

async function walk(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(['walk', ...args]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

describe('info-tlb', () => {
  test.each(FIXTURES_OF_EACH_KIND)("is exactly QEMU's text for %s", expectTextOfQemu);
});

/** QEMU's text has a line for each of the 65,536 places of the espfix page, which stock kernels of Debian have. */
describe.each(['k61-rt', 'k61-stock-skylake'])(
  'the espfix tables of %s, which many entries lead to',
  (name) => {
    const path = projectFile(`fixtures/foreign/${name}.elf.gz`);

    test('are spelt out in info-tlb, exactly as QEMU does', async () => {
      const { judged } = JSON.parse(readFileSync(projectFile(`fixtures/foreign/${name}.json`), 'utf8'));
      const { exitCode, stdout: text, stderr } = await runCommand(['walk', path, '--format', 'info-tlb']);
      // The CPU of one of them stood on the user's half, where it has no such tables.
      expect([exitCode, stderr === '' || stderr.includes('swapper_pg_dir')]).toEqual([0, true]);
      expect(text.split('\n')).toHaveLength(judged.leaves + 1);
      expect(createHash('sha256').update(text).digest('hex')).toBe(judged.infoTlbSha256);
    });

    test('are listed once in the table', async () => {
      const text = await walk(path);
      expect(text).toMatch(/ {2}like ffffff[0-9a-f]{2}00000000, the same table: 511 x 32 mappings\n/);
      expect(text).toMatch(/ {2}like ffffff[0-9a-f]{2}00000000, the same table: 3 x 16384 mappings\n/);
      expect(text).toContain('\n65504 more mappings through tables that several entries lead to\n');
    });
  },
);

/** Five slots of the root lead to one table, each of whose entries leads to one table, and so on down to one page. */
describe("tables that are shared as KASAN's shadow of untouched memory is", () => {
  const kasan = projectFile('fixtures/foreign/kasan-shaped.elf.gz');

  test('are listed once, and their other places named', async () => {
    const text = await walk(kasan);
    const shared = text.split('\n').filter((line) => line.includes('the same table'));
    expect(shared).toEqual([
      'fffff98000200000-fffff9803fffffff  like fffff98000000000, the same table: 511 x 512 mappings',
      'fffff98040000000-fffff9ffffffffff  like fffff98000000000, the same table: 511 x 262144 mappings',
      'fffffa0000000000-fffffbffffffffff  like fffff98000000000, the same table: 4 x 134217728 mappings',
    ]);
    expect(text).toContain('\n11812 leaves: ');
    expect(text).toContain('\n671088128 more mappings through tables that several entries lead to\n');
  });

  test('are in JSON as places of a table, with what stands there', async () => {
    const { leaves, sharedTables, sharedMappings, stoppedAt } = JSON.parse(
      await walk(kasan, '--format', 'json', '--range', 'fffff98000000000-fffffc0000000000'),
    );
    expect(leaves).toHaveLength(512);
    expect(leaves[0]).toMatchObject({ va: '0xfffff98000000000', places: 5 * 512 * 512, effective: 'r--' });
    const listedAt = '0xfffff98000000000';
    const tables = sharedTables.map(({ table }: { table: string }) => table);
    expect(new Set(tables).size).toBe(3);
    expect(sharedTables).toMatchObject([
      { va: '0xfffff98000200000', pages: 511 * 512, places: 511, listedAt, mappings: 511 * 512 },
      { va: '0xfffff98040000000', pages: 511 * 2 ** 18, places: 511, listedAt, mappings: 511 * 2 ** 18 },
      { va: '0xfffffa0000000000', pages: 4 * 2 ** 27, places: 4, listedAt, mappings: 4 * 2 ** 27 },
    ]);
    expect([sharedMappings, stoppedAt]).toEqual([671_088_128, null]);
  });

  test('are listed once in info-tlb where QEMU would go on for hours, and that is said', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['walk', kasan, '--format', 'info-tlb']);
    expect(exitCode).toBe(0);
    expect(stdout.split('\n')).toHaveLength(11_812 + 1);
    expect(stderr).toContain("QEMU's text has 671088128 lines more");
  });

  test('are listed like others in a range that cuts them', async () => {
    const text = await walk(kasan, '--range', 'fffff98000200000-fffff98000401000');
    expect(text).toContain('513 leaves: 513 of 4 KiB');
    expect(text).not.toContain('the same table');
  });
});

describe('the table', () => {
  test('joins leaves that follow each other and are alike', async () => {
    expect(await walk(kernel, '--range', 'ffffffff81000000-ffffffff82200000')).toBe(
      [
        'page tables at 0x5a66000, CR3 of CPU 0,',
        'proven by a direct map at 0xffff888000000000 with 108 of 108 table pages, kernel text at 0xffffffff81000000',
        'virtual addresses                  physical address  leaves x size  leaf  effective  flags',
        '-- kernel text',
        'ffffffff81000000-ffffffff81dfffff  0000000001000000       7 x 2M    r-x   r-x        G A D',
        'ffffffff81e00000-ffffffff81e01fff  0000000001e00000       2 x 4K    r-x   r-x        G A D',
        '-- kernel data',
        'ffffffff81e02000-ffffffff81ffffff  0000000001e02000     510 x 4K    rw-   rw-        G A D',
        '-- kernel rodata',
        'ffffffff82000000-ffffffff821fffff  0000000002000000       1 x 2M    r--   r--        G A D',
        '520 leaves: 512 of 4 KiB, 8 of 2 MiB, 0 of 1 GiB; 0 writable and executable',
        '',
      ].join('\n'),
    );
  });

  test('counts all leaves of the kernel half', async () => {
    expect(await walk(kernel)).toContain(
      '11300 leaves: 11166 of 4 KiB, 134 of 2 MiB, 0 of 1 GiB; 0 writable',
    );
    expect(await walk(fixturePath('k61-256-rodataoff'))).toContain('; 669 writable and executable');
  });

  test('takes a range with an inclusive end of a page for the same as one with an exclusive end', async () => {
    const exclusive = await walk(kernel, '--range', '0xffffffff81000000-0xffffffff82000000');
    expect(await walk(kernel, '--range', 'ffffffff81000000-ffffffff81ffffff')).toBe(exclusive);
  });

  test('cuts a leaf where the range does', async () => {
    expect(await walk(kernel, '--range', 'ffffffff81001000-ffffffff81003000')).toContain(
      'ffffffff81001000-ffffffff81002fff  0000000001001000       1 x 2M    r-x   r-x        G A D\n',
    );
  });

  test('is only a heading and a count where nothing is mapped', async () => {
    expect(await walk(kernel, '--range', 'ffff800000000000-ffff800000001000')).toMatch(
      /^page tables at 0x5a66000, CR3 of CPU 0,\nproven by .*\nvirtual addresses.*\n0 leaves: /,
    );
  });
});

describe('JSON', () => {
  test('has one object for each leaf', async () => {
    const { tool, schema, leaves, tables, warnings, ...rest } = JSON.parse(
      await walk(kernel, '--format', 'json'),
    );
    expect(tables).toMatchObject({ root: '0x5a66000', levels: 4, from: 'CR3 of CPU 0', proven: true });
    expect(warnings).toEqual([]);
    expect([tool.name, schema.name]).toEqual(['heki', 'walk']);
    expect(rest).toEqual({
      sharedTables: [],
      sharedMappings: 0,
      tablesAtSeveralLevels: 0,
      absentTables: 0,
      stoppedAt: null,
    });
    expect(leaves).toHaveLength(11300);
    expect(leaves[0]).toEqual({
      va: '0xffff888000000000',
      pa: '0x0',
      pages: 1,
      size: '4K',
      entry: '0x8000000000000163',
      leaf: 'rw-',
      effective: 'rw-',
      user: false,
      flags: ['G', 'A', 'D'],
      region: 'direct map',
    });
  });

  test('has no leaves where nothing is mapped', async () => {
    expect(JSON.parse(await walk(kernel, '--format', 'json', '--range', '0-1000')).leaves).toEqual([]);
  });
});
