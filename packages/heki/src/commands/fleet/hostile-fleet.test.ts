import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, test as everyTest, expect } from 'vitest';
import { JSON_SHAPES } from '../../testing/json-shapes.ts';
import { projectFile } from '../../testing/run-command.ts';

/** `npm run test:fleet` sets it. */
const test = everyTest.runIf(process.env.HEKI_FAULTS === 'long');

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'heki-hostile-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What it prints, whatever it finds. */
async function fleet(...args: readonly string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, [MAIN, 'fleet', ...args], { cwd: folder });
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error);
  expect(stderr).toBe('');
  return stdout;
}

test('dumps that are damaged or mean harm are results, and harm neither the others nor the page', async () => {
  const patterns = ['elf', 'elf.gz'].map((ext) => `${projectFile('fixtures/hostile')}/*.${ext}`);
  const sound = projectFile('fixtures/k61-256-kaslr.elf.gz');
  const text = await fleet('run', ...patterns, sound, '--time-limit', '60', '--concurrency', '2', '--json');
  const { results, setAside, left, items } = JSON_SHAPES['fleet-run'].parse(JSON.parse(text));
  expect({ setAside, left, items }).toEqual({ setAside: [], left: 0, items: 11 });
  const of = (wanted: string) => results.filter(({ outcome }) => outcome === wanted);
  expect([of('fail').length, of('unreadable').length]).toEqual([2, 8]);
  expect(of('pass').map(({ source }) => source)).toEqual([sound]);

  await fleet('report', '--html', 'fleet.html');
  expect(readFileSync(join(folder, 'fleet.html'), 'utf8')).not.toMatch(/<script|<img|onerror=/);
  for (const form of ['--csv', '--sarif', '--json']) {
    expect(await fleet('results', form)).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u);
  }
}, 300_000);
