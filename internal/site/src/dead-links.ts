import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** A site as it was built, and the repository that it links to. */
export interface BuiltSite {
  /** The folder of the site. */
  readonly folder: string;
  /** The folder of the repository. */
  readonly root: string;
  /** The repository's own address, without a slash behind. */
  readonly home: string;
}

/**
 * The links of every page, those of navigation too, that lead nowhere: to no file, to no place in a page, or to no file of the repository.
 * Other addresses on the web are not asked for.
 */
export function deadLinks({ folder, root, home }: BuiltSite): string[] {
  const pages = new Map(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.html'))
      .map((path) => [path, readFileSync(join(folder, path), 'utf8')]),
  );
  const places = new Map([...pages].map(([path, html]) => [path, placesOf(html)]));

  const leadsSomewhere = (from: string, target: string): boolean => {
    const [address = '', fragment = ''] = target.split('#');
    if (address.startsWith(`${home}/`)) {
      const [, path] = /^\/(?:tree|blob)\/main\/(.*)$/.exec(address.slice(home.length)) ?? [];
      return path === undefined || existsSync(join(root, decodeURIComponent(path)));
    }
    if (/^[a-z]+:/.test(address)) return true;
    const path = pathOf(from, decodeURIComponent(address));
    if (!pages.has(path)) return existsSync(join(folder, path)) && address !== '' && !path.endsWith('/');
    // What stands behind the address of the inspector is a state of it, which the tests in a browser follow.
    if (fragment === '' || path === 'inspector/index.html') return true;
    return places.get(path)?.has(decodeURIComponent(fragment)) ?? false;
  };

  return [...pages].flatMap(([from, html]) =>
    [...new Set(linksOf(html))]
      .filter((target) => !leadsSomewhere(from, target))
      .map((target) => `${from}: ${target}`),
  );
}

/** The path in the site's folder of what `address` names in the page `from`. */
function pathOf(from: string, address: string): string {
  if (address === '') return from;
  const path = address.startsWith('/') ? address.slice(1) : posix.join(posix.dirname(from), address);
  return path === '' || path.endsWith('/') ? `${path}index.html` : path;
}

function linksOf(html: string): string[] {
  return [...html.matchAll(/<(?:a|img|link|script)\b[^>]*?\s(?:href|src)="([^"]*)"/g)].map(
    ([, target = '']) => target.replaceAll('&amp;', '&'),
  );
}

function placesOf(html: string): ReadonlySet<string> {
  return new Set([...html.matchAll(/\sid="([^"]*)"/g)].map(([, id = '']) => id.replaceAll('&amp;', '&')));
}
