import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Packages that belong together. */
export interface PackageGroup {
  /** `Memory and dumps`. */
  readonly title: string;
  /** Names of folders in `packages/`. */
  readonly packages: readonly string[];
}

/** A row of the table of packages in the README of the repository: `| processors | [x86](packages/x86), ... |`. */
const ROW = /^\| ([^|]+) \| (\[[^|]*\]\(packages\/[^|]*) \|$/gm;

/** The packages as the README of the repository groups them, so that there is one order. */
export function packageGroups(root: string): readonly PackageGroup[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  return [...readme.matchAll(ROW)].map(([, title = '', links = '']) => ({
    title: title.charAt(0).toUpperCase() + title.slice(1),
    packages: [...links.matchAll(/\(packages\/([\w-]+)\)/g)].map(([, name = '']) => name),
  }));
}
