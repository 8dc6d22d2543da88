import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stateOfFiles } from './file-state.mjs';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-state-'));
  mkdirSync(join(folder, 'src', 'deep'), { recursive: true });
  for (const file of ['one.json', 'src/two.ts', 'src/deep/three.ts', 'src/two.test.ts']) {
    writeFileSync(join(folder, file), file);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const state = () =>
  stateOfFiles(folder, ['one.json', 'src', 'absent'], (name: string) => !name.endsWith('.test.ts'));

test.each<[string, (path: (file: string) => string) => void]>([
  ['cutting off a file at any depth', (path) => truncateSync(path('src/deep/three.ts'), 3)],
  ['writing as many bytes at another time', (path) => utimesSync(path('src/two.ts'), 1, 1)],
  [
    'writing as many bytes, and setting the time back to what it was',
    (path) => {
      const { atimeMs, mtimeMs } = statSync(path('src/two.ts'));
      writeFileSync(path('src/two.ts'), 'other/now!');
      utimesSync(path('src/two.ts'), atimeMs / 1000, mtimeMs / 1000);
    },
  ],
  ['adding a file', (path) => writeFileSync(path('src/deep/four.ts'), '')],
  ['removing a file', (path) => rmSync(path('src/deep/three.ts'))],
  ['a part that appears', (path) => writeFileSync(path('absent'), '')],
])('%s changes the state of files', (_, change) => {
  const before = state();
  change((file) => join(folder, file));
  expect(state()).not.toBe(before);
});

test('files that do not count do not change it', () => {
  const before = state();
  writeFileSync(join(folder, 'src', 'other.test.ts'), 'new');
  truncateSync(join(folder, 'src', 'two.test.ts'), 0);
  expect(state()).toBe(before);
});
