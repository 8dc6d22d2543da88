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

test('heki diff says that it cannot tell boots apart where there is no KASLR', async () => {
  const { stdout } = await runCommand(['diff', SOUND, fixturePath('k61-256-nokaslr-pti')]);
  expect(stdout).toMatch(
    /^they differ, of one boot or of two\nwarning: both kernels lie where one lies without KASLR/,
  );
});

test('heki diff says that two snapshots are of different kernels, and compares no frames of them', async () => {
  const other = ['diff', SOUND, projectFile('fixtures/foreign/k612-256-kaslr.elf.gz')];
  const { stdout } = await runCommand([...other, '--json']);
  const { sameBoot, frames, warnings } = JSON_SHAPES.diff.parse(JSON.parse(stdout));
  expect({ sameBoot, frames }).toEqual({ sameBoot: false, frames: [] });
  expect(warnings[0]).toMatchObject({
    id: 'other-kernel',
    message: expect.stringMatching(/^these are different kernels, 6\.1\.0-\S+ and 6\.12\.\S+: /),
  });
  expect((await runCommand([...other, '--redact'])).stdout).toContain('these are different kernels: much');
  // Built apart, of one version, where both lie at the same place.
  const core = gunzipSync(readFileSync(SOUND));
  const at = core.indexOf('BUILD-ID=') + 'BUILD-ID='.length;
  core.write(core[at] === 0x30 ? '1' : '0', at);
  const rebuilt = join(scratch, 'rebuilt.elf');
  writeFileSync(rebuilt, core);
  expect(JSON.parse((await runCommand(['diff', SOUND, rebuilt, '--json'])).stdout)).toMatchObject({
    sameBoot: false,
    warnings: [{ id: 'other-kernel' }],
  });
});

test('heki diff --redact has no address', async () => {
  for (const args of [[], ['--json']]) {
    const { stdout } = await runCommand(['diff', SOUND, TAMPERED, '--redact', ...args]);
    expect(stdout).not.toMatch(/0xffff|0x1000000|k61/);
  }
});
