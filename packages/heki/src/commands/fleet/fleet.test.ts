import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { JSON_SHAPES } from '../../testing/json-shapes.ts';
import { fixturePath, runCommand } from '../../testing/run-command.ts';

/** The built command: its workers are processes of it. */
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'heki-fleet-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the command in a process of its own, as whoever stands in `folder` does. */
async function fleetInFolder(...args: readonly string[]) {
  const run = promisify(execFile)(process.execPath, [MAIN, 'fleet', ...args], { cwd: folder });
  const ended: { code?: unknown; stdout: string; stderr: string } = await run.catch((error) => error);
  return { exitCode: ended.code ?? 0, stdout: ended.stdout, stderr: ended.stderr };
}

/** The same on what such a process has left, without the start of another. */
const fleet = (...args: readonly string[]) =>
  runCommand(['fleet', ...args, '--data', join(folder, '.heki-fleet')]);

const tampered = readFileSync(fixturePath('k61-256-tampered-text-alias'));
copyFileSync(fixturePath('k61-256-kaslr'), join(folder, 'sound.elf.gz'));
writeFileSync(join(folder, '=tampered.elf.gz'), tampered);
writeFileSync(join(folder, 'damaged.elf.gz'), tampered.subarray(0, tampered.length / 2));
// What stands beside a dump is no dump.
writeFileSync(join(folder, 'sound.json'), '{}');

test('a fleet is audited at once, and what was audited before is not again', async () => {
  const args = ['run', '*.elf.gz', '--no-heki', '--concurrency', '1', '--json'];
  const first = await fleetInFolder(...args);
  expect([first.exitCode, first.stderr]).toEqual([1, '']);
  const { results, ...rest } = JSON_SHAPES['fleet-run'].parse(JSON.parse(first.stdout));
  expect(rest).toMatchObject({ items: 3, known: 0, left: 0, setAside: [] });
  const outcomes = new Map(results.map(({ source, outcome }) => [source.split('/').at(-1), outcome]));
  expect(outcomes).toEqual(
    new Map([
      ['sound.elf.gz', 'pass'],
      ['=tampered.elf.gz', 'fail'],
      ['damaged.elf.gz', 'unreadable'],
    ]),
  );

  const again = await fleet('run', join(folder, 'sound.elf.gz'), '--no-heki', '--json');
  expect(again.exitCode).toBe(0);
  expect(JSON.parse(again.stdout)).toMatchObject({ items: 1, known: 1, results: [{ outcome: 'pass' }] });

  const wx = await fleet('results', '--finding', 'heki/wx-alias', '--json');
  const [found, ...others] = JSON_SHAPES['fleet-results'].parse(JSON.parse(wx.stdout)).results;
  expect([found?.outcome, others]).toEqual(['fail', []]);
  const shown = await fleet('show', found?.id ?? '');
  expect(JSON_SHAPES.audit.parse(JSON.parse(shown.stdout)).findings[0]?.id).toBe('heki/wx-alias');

  const { stdout: csv } = await fleet('results', '--csv');
  expect(csv.trimEnd().split('\n')).toHaveLength(4);
}, 240_000);

test.each([
  [['submit', 'https://me:secret@host/dump'], 'is not kept in a queue: expected one without'],
  [['submit', 'none/*.elf'], 'none/*.elf: no file has such a name'],
  [['setup'], 'expected --database URL'],
  [['status', '--tenant', 'A;'], 'Expected a small letter'],
  [['show', 'x'], 'Expected an id'],
  [['results', '--since', '2026-02-30'], 'Expected 2026-11-29'],
  [['results', '--since', '2026-02-30T10:00:00Z'], 'Expected 2026-11-29'],
  [['results', '--since', '2026-13-01'], 'Expected 2026-11-29'],
  [['work', '--metrics', '70000'], 'Expected PORT or HOST:PORT'],
  [['work', '--metrics', '0'], 'Expected PORT or HOST:PORT'],
  [['work', '--data', ''], 'Expected the name of a folder'],
  [['submit', 'file://elsewhere/dump'], 'expected file:///PATH'],
])('fleet %j is called wrongly', async (args, why) => {
  const { exitCode, stderr } = await runCommand(['fleet', ...args]);
  expect(stderr).toContain(why);
  expect(stderr).not.toContain('secret');
  expect(exitCode).toBe(2);
});
