// What a tarball promises to who finds it in a registry, and whether it keeps that: where it comes from, what is in it, and
// a README that holds without the repository around it.
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../internal/launcher/src/root.mjs';

const { repository, author, bugs } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const home = repository.url.replace(/^git\+|\.git$/g, '');

/** Complaints about a manifest's account of where the package comes from. */
export function originProblems(manifest, folder) {
  const expected = {
    author,
    bugs,
    homepage: `${home}/tree/main/${folder}#readme`,
    repository: { ...repository, directory: folder },
  };
  const problems = Object.entries(expected)
    .filter(([key, value]) => JSON.stringify(manifest[key]) !== JSON.stringify(value))
    .map(([key, value]) => `package.json: ${key} is not ${JSON.stringify(value)}`);
  if (!Array.isArray(manifest.keywords) || !manifest.keywords.includes('heki'))
    problems.push('package.json: keywords lack heki');
  return problems;
}

/**
 * Complaints about what is packed.
 *
 * @param {readonly string[]} files paths in the package
 * @param {(path: string) => string} read
 */
export function contentProblems(files, read) {
  const present = new Set(files);
  const problems = files
    .filter((path) => /\.tsbuildinfo$|\.(test|bench)\.ts$|(^|\/)src\/testing\//.test(path))
    .map((path) => `${path} is packed`);
  for (const path of files.filter((name) => name.endsWith('.map'))) {
    for (const source of JSON.parse(read(path)).sources) {
      const target = posix.join(posix.dirname(path), source);
      if (!present.has(target)) problems.push(`${path} leads to ${target}, which is not packed`);
    }
  }
  return problems;
}

/** Complaints about the README of a package. */
export async function readmeProblems(manifest, readme) {
  const problems = [];
  if (!/^## Install$/m.test(readme)) problems.push('README.md has no section Install');
  for (const [, target] of readme.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (target.startsWith('#')) continue;
    if (!/^https?:/.test(target)) problems.push(`README.md links to ${target}: expected an absolute address`);
    const [, path] = /^(?:tree|blob)\/main\/([^#]*)/.exec(target.replace(`${home}/`, '')) ?? [];
    if (path !== undefined && !existsSync(join(root, path)))
      problems.push(`README.md links to ${path}, which is not there`);
  }
  for (const [, code] of readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    for (const [, path] of code.matchAll(/'((?:fixtures|vectors|\.\.)\/[^']*)'/g))
      problems.push(`README.md reads ${path}, which no package has`);
    problems.push(...(await importProblems(manifest, code)));
  }
  return problems;
}

/** What a snippet imports of ours that is not there. */
async function importProblems(manifest, code) {
  const problems = [];
  for (const [, names, from] of code.matchAll(/^import \{([^}]*)\} from '(@heki\/[^']+)';$/gm)) {
    const entry = entryOf(from);
    if (entry === undefined) {
      problems.push(`README.md imports ${from}, which is not an entry of a package`);
      continue;
    }
    const exported = await import(pathToFileURL(entry).href);
    for (const name of names.split(',').map((word) => word.trim())) {
      if (name !== '' && !name.startsWith('type ') && !(name in exported))
        problems.push(`README.md imports ${name} from ${from}, which does not export it`);
    }
  }
  for (const [, file] of code.matchAll(/'@heki\/([\w-]+\/data\/[^']+)'/g)) {
    if (!existsSync(join(root, 'packages', file)))
      problems.push(`README.md reads @heki/${file}, which is not there`);
  }
  return problems.map((problem) => `${problem} (${manifest.name})`);
}

/** The file of an entry, as `@heki/vmcore/node`. */
function entryOf(specifier) {
  const [, name, rest] = /^@heki\/([\w-]+)(\/.*)?$/.exec(specifier) ?? [];
  const folder = join(root, 'packages', name ?? '');
  if (name === undefined || !existsSync(folder)) return undefined;
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const entry = exports[`.${rest ?? ''}`]?.default;
  return entry === undefined ? undefined : join(folder, entry);
}
