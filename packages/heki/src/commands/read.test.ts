import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { virtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { disassemble } from '../read/disassemble.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const REAL = projectFile('fixtures/symbols/k61-symbols.elf.gz');
const lines = gunzipSync(readFileSync(REAL.replace('.elf.gz', '.kallsyms.gz')))
  .toString('latin1')
  .split('\n');
const addressOf = (name: string) =>
  BigInt(`0x${(lines.find((line) => line.endsWith(` ${name}`)) ?? '').slice(0, 16)}`);

describe('heki read', () => {
  test('shows bytes where the kernel has them, by a symbol and by the direct map', async () => {
    const { stdout, exitCode } = await runCommand(['read', REAL, '__start_BTF', '24']);
    const at = addressOf('__start_BTF').toString(16);
    expect(exitCode).toBe(0);
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      `# ${at}  __start_BTF, in kernel rodata`,
      expect.stringMatching(new RegExp(`^${at}  9f eb 01 00 18 00 00 00  00 00 00 00 .. .. .. ..  `)),
      expect.stringMatching(/^[0-9a-f]{16} {2}(?:.. ){8} +.{8}$/),
    ]);
    const { outcome, tables } = JSON.parse(
      (await runCommand(['translate', REAL, '__start_BTF', '--json'])).stdout,
    );
    const alias = (BigInt(tables.directMap) + BigInt(outcome.gpa)).toString(16);
    const json = async (address: string) =>
      JSON.parse((await runCommand(['read', REAL, address, '0x18', '--json'])).stdout).stretches[0].bytes;
    expect(await json(alias)).toBe(await json('__start_BTF'));
  });

  test('tells what is not in the snapshot, and what is not mapped, and reads what is between', async () => {
    // Text is not in this dump.
    const text = await runCommand(['read', REAL, 'vfs_read', '16']);
    const at = addressOf('vfs_read');
    expect(text.exitCode).toBe(1);
    expect(text.stdout).toContain(
      `${at.toString(16)}-${(at + 15n).toString(16)}  not mapped, or not in the snapshot\n`,
    );
    const { stretches } = JSON.parse(
      (await runCommand(['read', REAL, 'vfs_read', '1048576', '--json'])).stdout,
    );
    let next = at;
    for (const { va, length } of stretches) {
      expect(BigInt(va)).toBe(next);
      next += BigInt(length);
    }
    expect(next).toBe(at + 1_048_576n);
  });

  test.each([
    [['read', REAL, 'vfs_read', '0'], '"0" is not a length: expected 1 to 1048576 bytes, as 64 or 0x40'],
    [['read', REAL, 'vfs_read', '1048577'], 'is not a length'],
    [['read', REAL, 'nosuch'], 'no symbol of that name is known'],
  ])('%j is refused', async (args, why) => {
    const refused = await runCommand(args);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(why);
  });

  test('has nothing to read in a dump of page tables alone', async () => {
    expect((await runCommand(['read', fixturePath('k61-256-nokaslr'), 'ffffffff81000000'])).exitCode).toBe(1);
  });
});

test('instructions are decoded one after the other, with what calls lead to', async () => {
  const bytes = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0xe8, 0xf6, 0xff, 0xff, 0xff, 0x06, 0xc3, 0xe9);
  const decoded = await disassemble(bytes, virtualAddress(0xffff_ffff_8100_0010n));
  expect(
    decoded.map(({ address, text, target }) => [address.toString(16), text, target?.toString(16)]),
  ).toEqual([
    ['ffffffff81000010', 'push rbp', undefined],
    ['ffffffff81000011', 'mov rbp, rsp', undefined],
    ['ffffffff81000014', 'call 0xffffffff8100000f', 'ffffffff8100000f'],
    ['ffffffff81000019', '(bad)', undefined],
    ['ffffffff8100001a', 'ret', undefined],
    ['ffffffff8100001b', '(cut short)', undefined],
  ]);
});
