import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SECTIONS } from './sections.ts';
import { repositoryPages } from './stage-pages.ts';

const root = join(import.meta.dirname, '../../..');

describe('sections of the site', () => {
  it('hold every page of docs/, each once', () => {
    const listed = SECTIONS.flatMap(({ pages }) => pages.map((page) => `docs/${page}.md`));
    const there = [...repositoryPages(root).keys()].filter((path) => path.startsWith('docs/'));
    expect(listed.sort()).toEqual(there.sort());
  });
});
