import { join } from 'node:path';
import type { DefaultTheme } from 'vitepress';
import { entryPoints } from './api-pages.ts';
import { packageGroups } from './package-groups.ts';
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
    '/packages/': packageGroups(root).map(({ title, packages }) => ({
      text: title,
      items: packages.map((name) => ({ text: name, link: `/packages/${name}/` })),
    })),
    '/api/': [
      {
        text: 'Entry points',
        items: entryPoints(root).map(({ name }) => ({
          text: name.replace('@heki/', ''),
          link: `/api/${name}`,
        })),
      },
    ],
  };
}
