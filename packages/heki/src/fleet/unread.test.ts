import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readReport } from '@heki/fleet/worker';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { JSON_SHAPES } from '../testing/json-shapes.ts';
import { fixturePath, runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-unread-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const dump = fixturePath('k61-256-nokaslr');
const halved = join(folder, 'halved.elf.gz');
writeFileSync(halved, readFileSync(dump).subarray(0, 8000));
const noJson = join(folder, 'no.json');
writeFileSync(noJson, 'no');
/** What xz made, as it seems: that is unpacked to a temporary file. */
const packed = join(folder, 'dump.xz');
writeFileSync(packed, Buffer.from('\xfd7zXZ\0', 'latin1'));

async function outcome(args: readonly string[], others: readonly string[] = []): Promise<string> {
  const { stdout } = await runCommand(['audit', ...args, '--no-heki', '--json']);
  JSON_SHAPES.error.parse(JSON.parse(stdout));
  return readReport({ exitCode: 3, report: stdout, milliseconds: 1 }, others).outcome;
}

test('only a dump that was read and cannot be understood is unreadable', async () => {
  expect(await outcome([halved])).toBe('unreadable');
  expect(await outcome([noJson])).toBe('unreadable');
});

test.each([
  [['http://127.0.0.1:1/dump'], 'cannot be read: '],
  [[join(folder, 'none.elf')], 'no such file'],
  [[dump, '--baseline', noJson], 'not JSON'],
  [[dump, '--vmlinux', noJson], 'no.json'],
  [[dump, '--vmlinux', join(folder, 'none')], 'no such file'],
])('%j says nothing of the dump', async (args, why) => {
  await expect(outcome(args, args.slice(2))).rejects.toThrow(why);
});

test('a disk without room for what is unpacked says nothing of the dump', async () => {
  vi.stubEnv('TMPDIR', join(folder, 'none'));
  await expect(outcome([packed])).rejects.toThrow('TMPDIR');
});
