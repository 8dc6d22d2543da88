import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type EntryPoint, entryPoints } from './api-pages.ts';
import { homeOf } from './home.ts';
import { changeLinks, type LinkContext, siteLink } from './site-link.ts';

/** The Markdown files of the repository that become pages, by path, and the path of each page. */
export function repositoryPages(root: string): ReadonlyMap<string, string> {
  const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path): [string, string] => [`docs/${path}`, `docs/${path}`]);
  const packages = readdirSync(join(root, 'packages')).map((name): [string, string] => [
    `packages/${name}/README.md`,
    `packages/${name}/index.md`,
  ]);
  return new Map([...docs, ...packages]);
}

/** Writes the sources of the site's pages into the folder `to`, which is emptied. */
export function stagePages(root: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  const pages = repositoryPages(root);
  const assets = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(?:svg|png)$/.test(path))
    .map((path) => `docs/${path}`);
  const context: LinkContext = { home: homeOf(root), pages, assets: new Set(assets) };
  const entries = entryPoints(root);
  for (const [from, page] of pages) {
    const markdown = readFileSync(join(root, from), 'utf8');
    const text = changeLinks(markdown, (target) => siteLink(target, from, context));
    write(
      join(to, page),
      withApi(
        text,
        entries.filter(({ folder }) => from === `packages/${folder}/README.md`),
      ),
    );
  }
  for (const asset of assets) copy(join(root, asset), join(to, asset));
  cpSync(join(root, 'internal/site/pages'), to, { recursive: true });
  copy(join(root, 'docs/protect.svg'), join(to, 'public/protect.svg'));
}

/** A package's guide, with the way to all that it exports below its title. */
function withApi(guide: string, entries: readonly EntryPoint[]): string {
  if (entries.length === 0) return guide;
  const links = entries.map(({ name }) => `[${name}](/api/${name})`);
  return guide.replace(/^# .*\n/, (title) => `${title}\nAll that it exports: ${links.join(', ')}\n`);
}

/** The first heading of a Markdown file. */
export function titleOf(path: string): string {
  return /^# (.+)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? path;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}
