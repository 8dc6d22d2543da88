import { posix } from 'node:path';

/** Where links of Markdown files lead. */
export interface LinkContext {
  /** The repository's own address, without a slash behind. */
  readonly home: string;
  /** Of each file that has a page, by its path in the repository, the path of the page in the site's sources. */
  readonly pages: ReadonlyMap<string, string>;
  /** Paths in the repository of files that lie beside the pages that show them. */
  readonly assets: ReadonlySet<string>;
}

/**
 * A link of the file `from` as the site has it: to a page of the site where what it leads to has one, else to the
 * repository on the web.
 *
 * @param target what stands between the brackets: `defects.md#b-h1`, `../packages/kvm`, an address
 * @param from the file's path in the repository
 */
export function siteLink(target: string, from: string, { home, pages, assets }: LinkContext): string {
  if (target.startsWith('#')) return target;
  const inRepository = pathIn(target, from, home);
  if (inRepository === undefined) return target;
  const { path, fragment } = inRepository;
  if (assets.has(path)) return target;
  if (path === 'docs/inspector.md' && INSPECTOR_PLACE.test(fragment)) return `${INSPECTOR}${fragment}`;
  const page = pages.get(path) ?? pages.get(posix.join(path, 'README.md'));
  // GitHub shows a README below the files of its folder, and links to it so.
  const place = fragment === '#readme' ? '' : fragment;
  if (page !== undefined) return `/${page}${place}`;
  return `${home}/blob/main/${path}${fragment}`;
}

/** The inspector in the site, and what leads to a place in it, and not in the page about it. */
const INSPECTOR = '/inspector/index.html';
const INSPECTOR_PLACE = /^#\w+\?/;

/** Every link of a Markdown text outside its code blocks, each given to `change`. */
export function changeLinks(markdown: string, change: (target: string) => string): string {
  return markdown
    .split(/(^```[\s\S]*?^```$)/m)
    .map((part) =>
      part.startsWith('```')
        ? part
        : part.replace(/(\]\()([^)\s]+)(\))/g, (_, before: string, target: string, after: string) => {
            const changed = change(target);
            // It is a page beside those that VitePress makes: their script must not take it for one.
            return `${before}${changed}${after}${changed.startsWith(INSPECTOR) ? '{target="_self"}' : ''}`;
          }),
    )
    .join('');
}

function pathIn(target: string, from: string, home: string): { path: string; fragment: string } | undefined {
  const [address = '', hash] = target.split('#');
  const fragment = hash === undefined ? '' : `#${hash}`;
  const [, ownPath] = /^\/(?:tree|blob)\/main\/(.*)$/.exec(address.replace(home, '')) ?? [];
  if (address.startsWith(`${home}/`)) {
    return ownPath === undefined ? undefined : { path: ownPath, fragment };
  }
  if (/^[a-z]+:/.test(address)) return undefined;
  return { path: posix.join(posix.dirname(from), address).replace(/\/$/, ''), fragment };
}
