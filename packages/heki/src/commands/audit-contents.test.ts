import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { vmlinuxOfText } from '../testing/build-vmlinux.ts';
import { coreBytes } from '../testing/mutated-core.ts';
import { runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-contents-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const TEXT = 0x100_0000;
const HOOKED = 0x20;
/** A page of code, whose image and whose kernel are of the same release. */
const code = Buffer.alloc(0x1000, 0xcc);
code.write('Linux version 6.1.0-56-cloud-amd64 ', 0x100, 'latin1');
const vmlinux = write('vmlinux', vmlinuxOfText(code));
const symbols = write(
  'System.map',
  Buffer.from(
    ['81000000 T _stext', '81000000 T _text', '81000010 T hooked_function', '81001000 T _etext']
      .map((line) => `ffffffff${line}\n`)
      .join(''),
  ),
);

/** A stock kernel's dump with its first page of code, in which `bytes` are written. */
function dumpWith(name: string, bytes: readonly number[]): string {
  const page = Buffer.from(code);
  page.set(bytes, HOOKED);
  const core = coreBytes('k61-256-nokaslr');
  const count = core.readUInt16LE(56);
  const headers = Buffer.alloc(56 * (count + 1));
  core.copy(headers, 0, Number(core.readBigUInt64LE(32)), Number(core.readBigUInt64LE(32)) + 56 * count);
  const at = 56 * count;
  headers.writeUInt32LE(1, at);
  headers.writeBigUInt64LE(BigInt(core.length), at + 8);
  headers.writeBigUInt64LE(BigInt(TEXT), at + 24);
  for (const size of [32, 40]) headers.writeBigUInt64LE(BigInt(page.length), at + size);
  core.writeUInt16LE(count + 1, 56);
  core.writeBigUInt64LE(BigInt(core.length + page.length), 32);
  return write(name, Buffer.concat([core, page, headers]));
}

function write(name: string, bytes: Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
}

const audit = (dump: string, ...options: readonly string[]) =>
  runCommand(['audit', dump, '--vmlinux', vmlinux, '--symbols', symbols, '--no-heki', ...options]);

const sound = dumpWith('sound.elf', []);
const hooked = dumpWith('hooked.elf', [0xeb, 0xfe]);
const otherwise = dumpWith('otherwise.elf', [0x90, 0x90]);

test('a kernel whose code is that of its image passes', async () => {
  const { exitCode, stdout } = await audit(sound, '--json');
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout).contents.text).toMatchObject({ compared: 0x1000, differing: 0, unexplained: 0 });
});

test('code that was changed fails, with its bytes, its function and all that maps it', async () => {
  const { exitCode, stdout } = await audit(hooked, '--json');
  expect(exitCode).toBe(1);
  const { findings } = JSON.parse(stdout);
  expect(findings[0]).toMatchObject({
    id: 'heki/code-differs',
    severity: 'high',
    summary: '2 bytes of code differ from the image and nothing explains it: hooked_function+0x10 (2 bytes).',
    ranges: [{ start: '0x1000000', end: '0x1001000' }],
    fingerprint: 'heki/code-differs|image+0x20..image+0x22 ebfe',
  });
  expect(findings[0].aliases.map(({ region }: { region: string }) => region)).toEqual([
    'direct map',
    'kernel text',
  ]);
  expect((await audit(hooked)).stdout).toContain('code: 4,096 bytes compared with the image, 2 differ');
});

test('a baseline accepts one change, and no other at its place', async () => {
  const baseline = join(scratch, 'baseline.json');
  await audit(hooked, '--baseline', baseline, '--update-baseline');
  expect((await audit(hooked, '--baseline', baseline)).exitCode).toBe(0);
  expect((await audit(otherwise, '--baseline', baseline)).exitCode).toBe(1);
});

test('a redacted report names neither function nor address, of the comparison either', async () => {
  for (const options of [['--json'], []]) {
    const { exitCode, stdout } = await audit(hooked, '--redact', ...options);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('heki/code-differs');
    expect(stdout).not.toMatch(/hooked_function|0xffff|0x100|cloud-amd64|ebfe/);
  }
});
