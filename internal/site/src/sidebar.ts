import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DefaultTheme } from 'vitepress';
import { entryPoints } from './api-pages.ts';
import { SECTIONS } from './sections.ts';
import { titleOf } from './stage-pages.ts';

/** The list of pages beside each page. */
export function sidebar(root: string): DefaultTheme.SidebarMulti {
  return {
    '/docs/': SECTIONS.map(({ title, pages, collapsed }) => ({
      text: title,
      ...(collapsed && { collapsed }),
      items: pages.map((page) => ({
        text: titleOf(join(root, 'docs', `${page}.md`)),
        link: `/docs/${page}`,
      })),
    })),
    '/packages/': [
      {
        text: 'Packages',
        items: readdirSync(join(root, 'packages')).map((name) => ({
          text: name,
          link: `/packages/${name}/`,
        })),
      },
    ],
    '/api/': [
      {
        text: 'Entry points',
        items: entryPoints(root).map(({ name }) => ({ text: name, link: `/api/${name}` })),
      },
    ],
  };
}
