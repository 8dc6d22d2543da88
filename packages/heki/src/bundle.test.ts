import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bundledCommand } from './bundle.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-bundle-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const bundled = () => bundledCommand(pathToFileURL(`${folder}/`))?.href;
const build = (text: string) => writeFileSync(join(folder, 'build'), text);
const bundle = () => {
  const { size, mtimeMs } = statSync(join(folder, 'build'));
  writeFileSync(join(folder, 'made-of.json'), JSON.stringify({ build: `${size} ${mtimeMs}` }));
};

test('a bundle is taken that was made of the build which stands there', () => {
  build('one');
  bundle();
  expect(bundled()).toBe(pathToFileURL(join(folder, 'command.js')).href);
});

test('a bundle is not taken after another build, of another size or at another time', () => {
  build('one');
  bundle();
  build('three');
  expect(bundled()).toBeUndefined();
  build('two');
  utimesSync(join(folder, 'build'), 1, 1);
  expect(bundled()).toBeUndefined();
});

test('a bundle is taken where nothing tells of builds, as in a package from a registry', () => {
  build('one');
  bundle();
  rmSync(join(folder, 'build'));
  expect(bundled()).toBeDefined();
});

test('a folder without a bundle, or with half of one, has none', () => {
  expect(bundled()).toBeUndefined();
  writeFileSync(join(folder, 'made-of.json'), '{');
  expect(bundled()).toBeUndefined();
});
