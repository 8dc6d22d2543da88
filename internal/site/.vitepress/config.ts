import { join } from 'node:path';
import { defineConfig } from 'vitepress';
import { headingPlace } from '../src/heading-place.ts';
import { homeOf } from '../src/home.ts';
import { searchedText } from '../src/searched-text.ts';
import { sidebar } from '../src/sidebar.ts';

const root = join(import.meta.dirname, '../../..');

export default defineConfig({
  title: 'heki',
  description:
    'An executable, byte-accurate model of Hypervisor-Enforced Kernel Integrity, and the tool that applies it to real kernels',
  lang: 'en',
  head: [
    ['link', { rel: 'icon', href: '/favicon.svg' }],
    ['link', { rel: 'stylesheet', href: '/wide.css' }],
  ],
  srcDir: '.sources',
  outDir: 'dist-site',
  // Links are checked: a page that leads nowhere fails the build.
  ignoreDeadLinks: false,
  cleanUrls: false,
  markdown: { anchor: { slugify: headingPlace } },
  // The index of the search, 0.3 MB packed, which is loaded when the first search begins, and never before.
  vite: { build: { chunkSizeWarningLimit: 1600 } },
  themeConfig: {
    search: {
      provider: 'local',
      options: { _render: (text, env, md) => md.render(searchedText(env.relativePath, text), env) },
    },
    outline: [2, 3],
    nav: [
      { text: 'Documentation', link: '/docs/paths', activeMatch: '^/docs/' },
      { text: 'Guides', link: '/packages/heki/', activeMatch: '^/packages/' },
      { text: 'API', link: '/api/', activeMatch: '^/api/' },
    ],
    sidebar: sidebar(root),
    socialLinks: [{ icon: 'github', link: homeOf(root) }],
  },
});
