import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { deadLinks } from './dead-links.ts';

const HOME = 'https://example.org/heki';
let folder: string;
afterEach(() => rmSync(folder, { recursive: true }));

/** The dead links of a site of these files. */
function deadOf(files: Readonly<Record<string, string>>): string[] {
  folder = mkdtempSync(join(tmpdir(), 'heki-site-'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return deadLinks({ folder, root: folder, home: HOME });
}

describe('dead links', () => {
  it('are those to a page, a picture, a place or a file of the repository that is not there', () => {
    const page = [
      '<a href="/b.html">',
      '<a class="x" href="c/#here">',
      '<a href="#gone">',
      '<img alt="" src="/gone.png">',
      '<a href="/c/#gone">',
      '<a href="/b/">',
      `<a href="${HOME}/blob/main/gone.ts">`,
    ];
    expect(deadOf({ 'a.html': page.join(''), 'b.html': '', 'c/index.html': '<h2 id="here">' })).toEqual([
      'a.html: #gone',
      'a.html: /gone.png',
      'a.html: /c/#gone',
      'a.html: /b/',
      `a.html: ${HOME}/blob/main/gone.ts`,
    ]);
  });

  it('are none of those that lead somewhere, nor states of the inspector, nor addresses on the web', () => {
    const page = [
      '<link rel="icon" href="/x.svg">',
      '<a href="#here" id="here">',
      '<a href="/">',
      '<a href="/inspector/index.html#walk?va=0x1&amp;access=write">',
      `<a href="${HOME}/tree/main/x.svg">`,
      '<a href="https://lore.kernel.org/">',
    ];
    const files = { 'x.svg': '', 'inspector/index.html': '', 'index.html': page.join('') };
    expect(deadOf(files)).toEqual([]);
  });
});
