import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FAILS = "test('fails', () => { throw new Error('of a test'); });";
const PASSES = "test('passes', () => {});";
const LEAVES_ONE = "test('passes', () => { Promise.reject(new Error('of no test')); });";

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-unhandled-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What the reporter of `npm test` writes of test files with these `tests`. */
function errorsOf(tests: readonly string[]): string | undefined {
  for (const [index, text] of tests.entries()) writeFileSync(join(folder, `${index}.test.mjs`), text);
  const errors = join(folder, 'errors');
  const reporter = join(ROOT, 'scripts', 'test', 'unhandled-errors.mjs');
  spawnSync(
    process.execPath,
    [
      join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--globals',
      `--root=${folder}`,
      `--reporter=${reporter}`,
    ],
    { cwd: folder, env: { ...process.env, HEKI_TEST_ERRORS: errors } },
  );
  return existsSync(errors) ? readFileSync(errors, 'utf8') : undefined;
}

test('an error that no test has is noted, though a test of another file failed', () => {
  expect(errorsOf([FAILS, LEAVES_ONE])).toContain('of no test');
});

test('a test that failed is no such error', () => {
  expect(errorsOf([FAILS, PASSES])).toBeUndefined();
});
