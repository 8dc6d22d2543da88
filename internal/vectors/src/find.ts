import { readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Paths of all files under `directory`, relative to it, `/` between parts, sorted. Follows symbolic links; one that
 * leads to a folder being searched already is passed over.
 */
export function findFiles(directory: string): string[] {
  const found: string[] = [];
  const open = new Set<string>();
  const search = (folder: string, prefix: string): void => {
    const real = realpathSync(folder);
    if (open.has(real)) return;
    open.add(real);
    for (const name of readdirSync(folder)) {
      const stats = statSync(join(folder, name), { throwIfNoEntry: false });
      if (stats?.isDirectory()) search(join(folder, name), `${prefix}${name}/`);
      else if (stats?.isFile()) found.push(prefix + name);
    }
    open.delete(real);
  };
  search(directory, '');
  return found.sort();
}

/**
 * Whether `path` goes with another file or is for people, and so is not a vector file of its own: answers beside cases,
 * what belongs to a snapshot, anything that does not look like data.
 */
export function isCompanion(path: string, all: ReadonlySet<string>): boolean {
  if (!/\.(?:txt|tsv|json)(?:\.gz)?$/.test(path)) return true;
  const answers = path.replace(/\.answers(\.txt(?:\.gz)?)$/, '.cases$1');
  if (answers !== path && all.has(answers)) return true;
  const snapshot = path.replace(/\.(?:json|ranges\.txt)$/, '.elf.gz');
  return snapshot !== path && all.has(snapshot);
}
