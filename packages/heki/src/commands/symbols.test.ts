import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageOf, tarFile } from '../testing/build-package.ts';
import { pagesOf } from '../testing/mutated-core.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-symbols-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const KASLR = fixturePath('k61-256-kaslr');
/** The symbols that the guest told when it was dumped. */
const told: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(KASLR.replace('.elf.gz', '.json'), 'utf8'),
).symbols;
const addressOf = (name: string): bigint => BigInt(told[name] ?? 0);
const MOVED = addressOf('_text') - 0xffff_ffff_8100_0000n;
const map = join(scratch, 'System.map');

beforeAll(() => {
  // As the kernel was linked.
  const lines = Object.entries(told).map(
    ([name, address]) => `${(BigInt(address) - MOVED).toString(16)} T ${name}\n`,
  );
  writeFileSync(map, lines.join(''));
});

describe('heki symbols', () => {
  test('moves the symbols of a System.map to where KASLR has them', async () => {
    const { stdout, exitCode } = await runCommand(['symbols', KASLR, 'sys_call_table', '--symbols', map]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`${addressOf('sys_call_table').toString(16)} T sys_call_table\n`);
    expect(stdout).toContain(`the image is 0x${MOVED.toString(16)} above where it was linked`);
  });

  test('tells what is at an address, and of the direct map what the image has there', async () => {
    const at = addressOf('sys_call_table') + 8n;
    const { stdout } = await runCommand(['symbols', KASLR, at.toString(16), '--symbols', map]);
    expect(stdout).toContain(`${at.toString(16)}  sys_call_table+0x8, in kernel rodata\n`);
    const translated = await runCommand(['translate', KASLR, at.toString(16), '--json']);
    const { tables, outcome } = JSON.parse(translated.stdout);
    const alias = (BigInt(tables.directMap) + BigInt(outcome.gpa)).toString(16);
    const other = await runCommand(['symbols', KASLR, alias, '--symbols', map]);
    expect(other.stdout).toContain(
      `${alias}  direct map, of sys_call_table+0x8, in kernel rodata, 0x${at.toString(16)}\n`,
    );
  });

  test.each([
    ['sys_call_*', ['sys_call_table']],
    ['?_end', []],
    ['_e?d', ['_end']],
    ['*text', ['_text', '_stext', '_etext']],
    ['*no*such*', []],
  ])('%s finds %j', async (pattern, names) => {
    const { stdout, exitCode } = await runCommand(['symbols', KASLR, pattern, '--symbols', map, '--json']);
    const found: { name: string }[] = JSON.parse(stdout).symbols;
    expect(found.map(({ name }) => name).toSorted()).toEqual([...names].toSorted());
    expect(exitCode).toBe(names.length === 0 ? 1 : 0);
  });

  test('says why a dump without contents has none, and finds what stands beside it', async () => {
    const all = await runCommand(['symbols', KASLR]);
    expect(all).toMatchObject({ exitCode: 3, stdout: '' });
    expect(all.stderr).toContain('kallsyms is not in the dump (--symbols names a System.map of this kernel)');
    const one = await runCommand(['symbols', KASLR, '_etext']);
    expect(one.stdout).toContain(`${addressOf('_etext').toString(16)} ? _etext\n`);
    const none = await runCommand(['symbols', KASLR, 'nosuch']);
    expect(none).toMatchObject({ exitCode: 1 });
    expect(none.stderr).toBe('heki: no symbol nosuch is known: kallsyms is not in the dump\n');
  });

  test("refuses another kernel's System.map, and Debian's stub by its name", async () => {
    const other = join(scratch, 'other.map');
    writeFileSync(other, 'ffffffff81234000 T _stext\n');
    const refused = await runCommand(['symbols', KASLR, '--symbols', other]);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain('is it the map of this kernel?');
    // Linked at the same address, as nearly all kernels are, so that its symbols would fit.
    const near = join(scratch, 'near.map');
    const lines = readFileSync(map, 'utf8').split('\n');
    const moved = lines.map((line) =>
      line.endsWith(' init_uts_ns') ? 'ffffffff82001000 D init_uts_ns' : line,
    );
    writeFileSync(near, [...moved, 'ffffffff82001000 D init_uts_ns', ''].join('\n'));
    for (const args of [
      ['symbols', KASLR, 'sys_call_table'],
      ['translate', KASLR, 'sys_call_table'],
      ['walk', KASLR],
    ]) {
      const wrong = await runCommand([...args, '--symbols', near]);
      expect(wrong).toMatchObject({ exitCode: 3, stdout: '' });
      expect(wrong.stderr).toContain('near.map: it has init_uts_ns where 0x');
    }
    const stub = join(scratch, 'stub.map');
    writeFileSync(stub, 'ffffffffffffffff B The real System.map is in the linux-image-x-dbg package\n');
    const named = await runCommand(['symbols', KASLR, '--symbols', stub]);
    expect(named.stderr).toContain("stub.map: this is Debian's stub of a System.map, without symbols");
  });
});

test('takes the System.map of a Debian package, which it unpacks no further, and tells where there is none', async () => {
  const at = (name: string, archive: Buffer) => {
    const path = join(scratch, name);
    writeFileSync(path, packageOf('data.tar.gz', gzipSync(archive)));
    return runCommand(['symbols', KASLR, 'sys_call_table', '--symbols', path]);
  };
  const real = tarFile('./usr/lib/debug/boot/System.map-6.1.0', readFileSync(map));
  const { stdout } = await at('dbg.deb', Buffer.concat([real, Buffer.alloc(2 ** 20, 1)]));
  expect(stdout).toContain(`${addressOf('sys_call_table').toString(16)} T sys_call_table\n`);
  const none = await at('image.deb', tarFile('./boot/vmlinuz-6.1.0', Buffer.alloc(100)));
  expect(none).toMatchObject({ exitCode: 3, stdout: '' });
  expect(none.stderr).toContain('image.deb: the package has no System.map: expected linux-image-*-dbg');
});

test('a file of symbols that nothing confirms is used, and said; a banner where it has one confirms it', async () => {
  const few = join(scratch, 'few.map');
  writeFileSync(few, 'ffffffff81000000 T _stext\nffffffff81000100 T some_function\n');
  const args = ['symbols', KASLR, 'some_function', '--symbols'];
  const { stdout } = await runCommand([...args, few]);
  expect(stdout).toContain('# warning: nothing in the snapshot tells whether few.map is of its kernel');
  expect(JSON.parse((await runCommand([...args, few, '--json'])).stdout).warnings).toEqual(
    expect.arrayContaining([expect.objectContaining({ id: 'symbols-unconfirmed' })]),
  );
  expect((await runCommand([...args, map])).stdout).not.toContain('nothing in the snapshot');
});

test('a file of symbols has the banner of the kernel where the snapshot has it, or is refused', async () => {
  const core = gunzipSync(readFileSync(projectFile('fixtures/symbols/k612-symbols.elf.gz')));
  const vmcoreinfo = core.toString('latin1', 0, 2 ** 16);
  const toldBy = (key: string): string =>
    vmcoreinfo
      .split('\n')
      .find((line) => line.startsWith(`${key}=`))
      ?.slice(key.length + 1) ?? '';
  // In a page that the dump has.
  const banner = BigInt(`0x${toldBy('SYMBOL(kallsyms_names)')}`);
  const physical = Number(banner - 0xffff_ffff_8000_0000n + BigInt(toldBy('NUMBER(phys_base)')));
  const page = pagesOf(core).find(([address]) => address === physical - (physical % 4096));
  core.write('Linux version 6.12', (page?.[1] ?? 0) + (physical % 4096), 'latin1');
  const snapshot = join(scratch, 'banner.elf');
  writeFileSync(snapshot, core);
  const symbolsWith = (address: bigint) => {
    const path = join(scratch, 'banner.map');
    writeFileSync(path, `${toldBy('SYMBOL(_stext)')} T _stext\n${address.toString(16)} R linux_banner\n`);
    return runCommand(['symbols', snapshot, '_stext', '--symbols', path]);
  };
  const right = await symbolsWith(banner);
  expect(right).toMatchObject({ exitCode: 0 });
  expect(right.stdout).not.toContain('nothing in the snapshot');
  expect((await symbolsWith(banner + 8n)).stderr).toContain('where the snapshot has no banner of a kernel');
});

describe('SYMBOL+OFFSET', () => {
  test('is an address to translate', async () => {
    const { stdout } = await runCommand(['translate', KASLR, '_text+0x10', '--symbols', map]);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe(`${(addressOf('_text') + 16n).toString(16)}  read at CPL 0`);
    // Of two symbols at one address the first of the file is meant.
    expect(lines[1]).toMatch(/^ {2}_s?text\+0x10, in kernel text$/);
  });

  test('gives the ends of a walk, whose leaves are named', async () => {
    const { stdout } = await runCommand(['walk', KASLR, '--range', '_stext-_etext', '--symbols', map]);
    expect(stdout).toMatch(
      new RegExp(`\\n-- kernel text\\n${addressOf('_stext').toString(16)}-.* {2}_s?text\\n`),
    );
    const json = await runCommand(['walk', KASLR, '--range', '_stext-_etext', '--format', 'json']);
    expect(JSON.parse(json.stdout).leaves[0]).toMatchObject({ region: 'kernel text' });
  });

  test.each([
    [
      'nosuch+1',
      2,
      'no symbol of that name is known: kallsyms is not in the dump (--symbols names a System.map)',
    ],
    ['0x', 2, '"0x" is not a virtual address'],
    ['_text+0xffffffffffffffff', 2, 'lies outside the address space'],
    ['a b', 2, 'is not a virtual address: expected at most 16 hexadecimal digits'],
  ])('%s is refused', async (address, exitCode, why) => {
    const refused = await runCommand(['translate', KASLR, address]);
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stderr).toContain(why);
  });
});

describe('of a dump with contents', () => {
  const REAL = projectFile('fixtures/symbols/k612-symbols.elf.gz');
  const lines = gunzipSync(readFileSync(REAL.replace('.elf.gz', '.kallsyms.gz')))
    .toString('latin1')
    .trimEnd()
    .split('\n');
  const lineOf = (name: string) => lines.find((line) => line.split(' ')[2] === name) ?? '';
  const address = (name: string) => lineOf(name).slice(0, 16);

  test('all symbols are listed as the guest listed them', async () => {
    const { stdout, exitCode } = await runCommand(['symbols', REAL]);
    expect(exitCode).toBe(0);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .filter((line) => !line.startsWith('#')),
    ).toEqual(lines);
  });

  test('symbols of modules are found, and name what is there', async () => {
    const found = await runCommand(['symbols', REAL, 'libcrc32c_mod_fini [libcrc32c]']);
    expect(found.stdout).toContain(
      `${address('libcrc32c_mod_fini\t[libcrc32c]')} t libcrc32c_mod_fini\t[libcrc32c]\n`,
    );
    const at = await runCommand(['symbols', REAL, 'libcrc32c:libcrc32c_mod_fini+0x1']);
    expect(at.stdout).toContain('  libcrc32c_mod_fini+0x1 [libcrc32c], in module libcrc32c text\n');
  });

  test('a walk tells the parts of modules', async () => {
    const { stdout } = await runCommand(['walk', REAL, '--symbols']);
    expect(stdout).toMatch(
      /\n-- module libcrc32c text\n.* r-x .* \S+ \[libcrc32c\]\n-- module libcrc32c data\n/,
    );
  });

  test('an address is translated by its symbol', async () => {
    const { stdout } = await runCommand(['translate', REAL, 'vfs_read+4', '--access', 'write', '--json']);
    const { va, place } = JSON.parse(stdout);
    expect(va).toBe(`0x${(BigInt(`0x${address('vfs_read')}`) + 4n).toString(16)}`);
    expect(place).toMatchObject({ region: 'kernel text', symbol: { name: 'vfs_read', offset: '0x4' } });
  });

  test('modules are listed with their sections', async () => {
    const { stdout } = await runCommand(['symbols', REAL, '--modules', '--json']);
    const { modules } = JSON.parse(stdout);
    expect(modules.map(({ name }: { name: string }) => name)).toEqual([
      'nf_tables',
      'nfnetlink',
      'overlay',
      'xfs',
      'libcrc32c',
      'qemu_fw_cfg',
    ]);
    const { told } = JSON.parse(readFileSync(REAL.replace('.elf.gz', '.json'), 'utf8'));
    for (const { name, sections } of modules) {
      for (const section of sections)
        expect(told.sections).toContain(`${name}/sections/${section.name}:${section.va}`);
    }
    expect((await runCommand(['symbols', REAL, '--modules'])).stdout).toMatch(
      /\nlibcrc32c\n {2}\w{16}-\w{16} {2}text\n {4}\w{16} {2}\.text\n/,
    );
  });
});
