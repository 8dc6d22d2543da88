// Holds the entry points of the packages to what somebody needs: every value that one exports is imported outside its package (by a
// package, an example, an internal tool), or a page of the documentation names it, or it is an error to catch. Types are left out: a
// signature may need one that is never imported; so is hypercall, whose tables are those of an ABI, whole.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';

const knip = join(root, 'node_modules', 'knip', 'bin', 'knip.js');
const options = [
  '--include-entry-exports',
  '--include',
  'exports',
  '--reporter',
  'json',
  '--no-exit-code',
  '--no-progress',
];
const { issues } = JSON.parse(
  execFileSync(process.execPath, [knip, ...options], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 }),
);

const pages = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
const named = new Set(pages.flatMap((page) => readFileSync(join(root, page), 'utf8').match(/\w+/g) ?? []));
const unused = issues
  .filter(({ file }) => file.startsWith('packages/') && !file.startsWith('packages/hypercall/'))
  .flatMap(({ file, exports }) => exports.map(({ name, line }) => ({ file, name, line })))
  .filter(({ name }) => !named.has(name) && !/(Error|Failure)$/.test(name));

for (const { file, name, line } of unused)
  console.log(`${file}:${line}: ${name} is exported, and nothing needs it`);
console.log(unused.length === 0 ? 'every exported value is imported, or named in the documentation' : '');
process.exitCode = unused.length === 0 ? 0 : 1;
