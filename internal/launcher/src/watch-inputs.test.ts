import { mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
// @boundaries-ignore what `npm test` runs is tested here: scripts are no package
import { watchInputs } from '../../../scripts/test/inputs.mjs';

const CACHE = fileURLToPath(new URL('../../../node_modules/.cache', import.meta.url));

let folder = '';
beforeEach(() => {
  mkdirSync(CACHE, { recursive: true });
  folder = mkdtempSync(join(CACHE, 'heki-watch-'));
  for (const name of ['one.ts', 'other.ts']) writeFileSync(join(folder, name), 'before');
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Whether the inputs `one.ts` and `missing.ts` of a task are untouched after `meanwhile`. */
function isUntouchedAfter(meanwhile: () => void): boolean {
  const files = new Set(
    ['one.ts', 'missing.ts'].map((name) => join('node_modules/.cache', folder.slice(CACHE.length), name)),
  );
  const isUntouched = watchInputs(new Map([['x86#test', { hash: '1', files }]]));
  meanwhile();
  return isUntouched(files);
}

test('inputs that no one wrote to are untouched, whatever happened to other files', () => {
  expect(isUntouchedAfter(() => writeFileSync(join(folder, 'other.ts'), 'after'))).toBe(true);
});

test('an input that was edited, and is by now as it was, is not untouched', () => {
  const file = join(folder, 'one.ts');
  const { atime, mtime } = statSync(file);
  const editAndBack = () => {
    writeFileSync(file, 'edited');
    writeFileSync(file, 'before');
    utimesSync(file, atime, mtime);
  };
  expect(isUntouchedAfter(editAndBack)).toBe(false);
});

test('an input that came, or went, is not untouched', () => {
  expect(isUntouchedAfter(() => writeFileSync(join(folder, 'missing.ts'), ''))).toBe(false);
  expect(isUntouchedAfter(() => rmSync(join(folder, 'one.ts')))).toBe(false);
});
