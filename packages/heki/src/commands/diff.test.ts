import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { JSON_SHAPES } from '../testing/json-shapes.ts';
import { pagesOf } from '../testing/mutated-core.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-diff-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const SOUND = fixturePath('k61-256-nokaslr');
const TAMPERED = fixturePath('k61-256-tampered-text-alias');

test('heki diff says what appeared, and by which pages', async () => {
  const { exitCode, stdout } = await runCommand(['diff', SOUND, TAMPERED, '--json']);
  expect(exitCode).toBe(1);
  const difference = JSON_SHAPES.diff.parse(JSON.parse(stdout));
  expect(difference).toMatchObject({ same: false, sameBoot: true, image: [] });
  expect(difference.appeared.map(({ id }) => id)).toEqual(['heki/wx-alias']);
  expect(difference.frames).toContainEqual({
    start: '0x1000000',
    end: '0x1200000',
    before: 'r-x',
    after: 'rwx',
    symbol: null,
  });
  const text = await runCommand(['diff', SOUND, TAMPERED]);
  expect(text.stdout).toContain('critical heki/wx-alias: 512 pages');
  expect(text.stdout).toContain('0x1000000-0x11fffff, 512 pages: r-x -> rwx');
});

test('heki diff names what changed by the kernel that has its symbols', async () => {
  const path = projectFile('fixtures/symbols/k612-symbols.elf.gz');
  const translated = JSON.parse((await runCommand(['translate', path, '_stext', '--json'])).stdout);
  const leaf = Number(translated.steps.at(-1).address);
  const core = gunzipSync(readFileSync(path));
  const page = pagesOf(core).find(([address]) => address === leaf - (leaf % 4096));
  const at = (page?.[1] ?? 0) + (leaf % 4096);
  // Writable, as CR0.WP and this entry would have it.
  core.writeUInt8(core.readUInt8(at) + 2, at);
  const tampered = join(scratch, 'tampered.elf');
  writeFileSync(tampered, core);
  const { stdout } = await runCommand(['diff', path, tampered]);
  expect(stdout).toMatch(/0x0-0x1fffff: r-x -> rwx, from _s?text on/);
});

test('heki diff finds nothing between a snapshot and itself', async () => {
  const { exitCode, stdout } = await runCommand(['diff', SOUND, SOUND]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 'nothing differs\n' });
});

test('heki diff --redact has no address', async () => {
  for (const args of [[], ['--json']]) {
    const { stdout } = await runCommand(['diff', SOUND, TAMPERED, '--redact', ...args]);
    expect(stdout).not.toMatch(/0xffff|0x1000000|k61/);
  }
});
