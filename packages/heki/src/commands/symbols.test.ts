import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fixturePath, runCommand } from '../testing/run-command.ts';

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
    const { tables } = JSON.parse((await runCommand(['translate', KASLR, at.toString(16), '--json'])).stdout);
    const { outcome } = JSON.parse(
      (await runCommand(['translate', KASLR, at.toString(16), '--json'])).stdout,
    );
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
    const stub = join(scratch, 'stub.map');
    writeFileSync(stub, 'ffffffffffffffff B The real System.map is in the linux-image-x-dbg package\n');
    const named = await runCommand(['symbols', KASLR, '--symbols', stub]);
    expect(named.stderr).toContain("stub.map: this is Debian's stub of a System.map, without symbols");
  });
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
    ['0x', 2, '"0x" is no virtual address'],
    ['_text+0xffffffffffffffff', 2, 'lies outside the address space'],
    ['a b', 2, 'is no virtual address: expected at most 16 hexadecimal digits'],
  ])('%s is refused', async (address, exitCode, why) => {
    const refused = await runCommand(['translate', KASLR, address]);
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stderr).toContain(why);
  });
});
