import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { coreBytes, pagesOf, setControlRegister } from '../testing/mutated-core.ts';
import { fixturePath, projectFile, ranOnce, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-address-space-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const foreign = (name: string) => projectFile(`fixtures/foreign/${name}`);
const ENTRY = foreign('entry-syscall-pti.elf.gz');
const USER = foreign('pti-user-mode.elf.gz');

async function json(...args: string[]) {
  const { exitCode, stdout, stderr } = await ranOnce(...args, '--json');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** A real kernel's dump with CR3 of its CPU on a page that is a table of the kernel, but not its root. */
function withWrongRoot(name: string, change: (core: Buffer) => void): string {
  const core = coreBytes('k61-256-nokaslr');
  change(core);
  const path = join(scratch, `${name}.elf`);
  writeFileSync(path, core);
  return path;
}

describe('heki protect', () => {
  test("takes the kernel's tables where the CPU stands on the user's: it maps a page of the kernel", async () => {
    const args = ['protect', ENTRY, '--memory-map', foreign('entry-syscall-pti.iomem')];
    const report = await json(...args);
    // 58,850 pages are mapped read-write; five of them are not RAM: ACPI tables and registers of devices.
    expect(report.pages).toEqual({ 'r--': 2256, 'r-x': 4403, 'rw-': 58845, rwx: 0 });
    expect(report.tables).toEqual({
      root: '0x2a10000',
      levels: 4,
      from: 'swapper_pg_dir',
      proven: true,
      provenBy:
        'a direct map at 0xffff888000000000 with 107 of 107 table pages, kernel text at 0xffffffff81000000',
      directMap: '0xffff888000000000',
      cpu: 0,
      refused: [],
    });
    const { stdout } = await runCommand(args);
    expect(stdout).toContain('\n  tables     0x2a10000, swapper_pg_dir\n  proven by  a direct map at 0x');
  });

  test('may be told the CPU or CR3, and takes the half of the pair that proves to be the kernel', async () => {
    for (const option of [
      ['--cpu-index', '0'],
      ['--cr3', '5d15000'],
      ['--cr3', '0x5d14018'],
    ]) {
      const { pages, tables } = await json('protect', ENTRY, ...option);
      expect(pages).toEqual({ 'r--': 2256, 'r-x': 4403, 'rw-': 58845, rwx: 0 });
      expect(tables.root).toBe('0x5d14000');
    }
    const { tables } = await json('protect', ENTRY, '--cpu-index', '0');
    expect(tables.refused).toEqual([
      {
        from: 'CR3 of CPU 0',
        root: '0x5d15000',
        why: 'has no direct map in which the table itself would be mapped',
      },
    ]);
  });
});

describe.each(['protect', 'walk', 'translate'])('heki %s', (command) => {
  const run = (path: string, ...args: string[]) =>
    runCommand([command, path, ...(command === 'translate' ? ['ffffffff81000000'] : []), ...args]);

  test('fails where nothing proves to be the root of the kernel', async () => {
    const core = coreBytes('k61-256-nokaslr');
    const [[table = 0] = []] = pagesOf(core).filter(([address]) => address !== 0x5a66000);
    for (const [name, cr3, why] of [
      ['absent', 0x7777000, 'CR3 of CPU 0, 0x7777000, is not in the dump'],
      ['table', table, `CR3 of CPU 0, 0x${table.toString(16)}, has no direct map`],
    ] as const) {
      const path = withWrongRoot(name, (bytes) => setControlRegister(bytes, 3, BigInt(cr3)));
      const { exitCode, stdout, stderr } = await run(path);
      expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
      expect(stderr).toContain("no page table of the dump proves to be its kernel's root");
      expect(stderr).toContain(why);
      expect(stderr).toMatch(/ \(--cpu-index and --cr3 name an address space\)\n$/);
    }
  });

  test.each([
    [['--cpu-index', '1'], '--cpu-index 1: no registers of CPU 1: the dump has those of CPU 0 alone'],
    [['--cpu-index', 'x'], 'Expected a whole number from 0 to 65535'],
    [
      ['--cr3', '7fffe000'],
      '--cr3 0x7fffe000: the dump holds no page at 0x7fffe000, where CR3 0x7fffe000 has',
    ],
    [['--cr3', 'here'], 'Expected up to 16 hexadecimal digits'],
  ])('says what is wrong with %j', async (option, why) => {
    const { exitCode, stdout, stderr } = await run(fixturePath('k61-256-nokaslr'), ...option);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain(why);
  });
});

describe('heki translate', () => {
  const fetch = ['401945', '--user', '--access', 'fetch'];

  test('takes a user address in the address space that the CPU stands on', async () => {
    const { outcome, tables, warnings } = await json('translate', USER, ...fetch);
    expect(outcome).toMatchObject({ kind: 'mapped', gpa: '0x3bd6945' });
    expect(tables).toEqual({ root: '0x5d11000', levels: 4, from: 'CR3 of CPU 0', proven: false });
    expect(warnings).toEqual([]);
    expect((await json('translate', USER, ...fetch, '--cpu-index', '0')).outcome).toEqual(outcome);
    const { stdout } = await runCommand(['translate', USER, ...fetch]);
    expect(stdout).toContain('\n  page tables at 0x5d11000, CR3 of CPU 0, as it is: nothing says that');
  });

  test('takes the other half when it is asked for, where no user page can be executed, and says so', async () => {
    const { outcome, tables, warnings } = await json('translate', USER, ...fetch, '--cr3', '0x5d10000');
    expect(outcome).toMatchObject({ kind: 'page-fault', errorCode: '0x15' });
    expect(tables).toEqual({ root: '0x5d10000', levels: 4, from: 'CR3 0x5d10000', proven: false });
    expect(warnings).toEqual([
      {
        id: 'kernel-half',
        message:
          "CR3 0x5d10000 is the kernel's half of page-table isolation, in which no user page can be executed: user mode runs on the other, --cr3 0x5d11000",
      },
    ]);
  });

  test('takes an address of the kernel in the tables of the kernel, unless others are asked for', async () => {
    const address = 'ffffffff82a00000';
    const kernel = await json('translate', USER, address);
    expect([kernel.outcome.kind, kernel.tables.from]).toEqual(['mapped', 'swapper_pg_dir']);
    const user = await json('translate', USER, address, '--cpu-index', '0');
    expect([user.outcome.kind, user.tables.from]).toEqual(['page-fault', 'CR3 of CPU 0']);
    expect((await json('translate', USER, address, '--user')).tables.from).toBe('CR3 of CPU 0');
  });
});

describe('heki walk', () => {
  test("lists the user's half of the address space that the CPU stands on", async () => {
    const { stdout } = await runCommand(['walk', USER, '--user']);
    expect(stdout).toMatch(/^page tables at 0x5d11000, CR3 of CPU 0, as it is/);
    expect(stdout).toContain('\n0000000000401000-');
    expect(stdout).toContain('\n2098 leaves: ');
    expect(stdout).not.toContain('\nffff');
  });

  test("says when nothing is in the user's half, as in an extract without it", async () => {
    const warned = async (...args: string[]): Promise<unknown> =>
      JSON.parse((await runCommand(args)).stdout).warnings.map(({ id }: { id: string }) => id);
    const extract = fixturePath('k61-256-nokaslr');
    expect(await warned('walk', extract, '--user', '--format', 'json')).toEqual(['empty-user-half']);
    expect(await warned('translate', extract, '401945', '--user', '--json')).toEqual(['empty-user-half']);
    expect(await warned('walk', USER, '--user', '--format', 'json')).toEqual([]);
    expect(await warned('walk', extract, '--format', 'json')).toEqual([]);
    expect(await warned('translate', extract, 'ffffffff81000000', '--user', '--json')).toEqual([]);
  });

  test("lists the kernel's half of what is asked for", async () => {
    const leaves = async (...args: string[]) =>
      JSON.parse((await runCommand(['walk', USER, '--format', 'json', ...args])).stdout).leaves;
    const kernel = await leaves();
    expect(await leaves('--cr3', '5d10000')).toEqual(kernel);
    // The user's half has the entry code and little more.
    expect((await leaves('--cpu-index', '0')).length).toBeLessThan(kernel.length / 4);
  });

  test("says beside QEMU's text which tables are not those in CR3", async () => {
    const { stdout, stderr } = await runCommand(['walk', USER, '--format', 'info-tlb']);
    expect(stdout).toMatch(/^ffff888000000000: 0000000000000000 /);
    expect(stderr).toMatch(
      /^heki: page tables at 0x2a10000, swapper_pg_dir, proven by a direct map at .*\n$/,
    );
  });

  test('fails when tables are not in the dump, and counts them', async () => {
    const path = withWrongRoot('lacking', (core) => {
      // The entry of vmalloc's first slot leads to a page that the dump does not hold.
      const [[, root = 0] = []] = pagesOf(core).filter(([address]) => address === 0x5a66000);
      core.writeBigUInt64LE(0x7777067n, root + 402 * 8);
    });
    const { exitCode, stdout, stderr } = await runCommand(['walk', path, '--format', 'json']);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout).absentTables).toBe(1);
    expect(stderr).toContain('lacks 1 page-table pages: what they map is not listed');
  });
});
