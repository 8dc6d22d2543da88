import { expect, test } from 'vitest';
import { JSON_SHAPES } from '../testing/json-shapes.ts';
import { fixturePath, runCommand } from '../testing/run-command.ts';

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
  });
  const text = await runCommand(['diff', SOUND, TAMPERED]);
  expect(text.stdout).toContain('critical heki/wx-alias: 512 pages');
  expect(text.stdout).toContain('0x1000000-0x11fffff, 512 pages: r-x -> rwx');
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
