// Packs every public package as it would be published, judges the tarball (with publint, attw, and by what a package promises to
// who finds it in a registry), and uses all of them from outside.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { root } from '../internal/launcher/src/root.mjs';
import { checkFromOutside } from './check-outside.mjs';
import { contentProblems, originProblems, readmeProblems } from './package-promises.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'heki-pack-'));
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
let failed = 0;

/** Problems of an ESM-only package: everything but what `require` and the old `node10` resolution cannot have. */
function matters(problem) {
  if (problem.kind === 'CJSResolvesToESM') return false;
  return !(
    problem.kind === 'NoResolution' &&
    problem.resolutionKind !== 'node16-esm' &&
    problem.resolutionKind !== 'bundler'
  );
}

const pack = spawnSync(
  'npx',
  ['--yes', packageManager, '--recursive', '--filter', './packages/*', 'pack', '--pack-destination', scratch],
  { cwd: root, encoding: 'utf8', shell: process.platform === 'win32' },
);
if (pack.status !== 0) {
  console.log(`${pack.stdout}${pack.stderr}\npnpm pack failed`);
  process.exit(1);
}

for (const name of readdirSync(join(root, 'packages')).sort()) {
  const pkgDir = join(root, 'packages', name);
  const manifest = JSON.parse(readFileSync(join(pkgDir, 'package.json'), 'utf8'));
  const file = `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`;
  const data = readFileSync(join(scratch, file));
  const messages = [];

  const published = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  const lint = await publint({ pack: { tarball: published }, strict: true });
  for (const message of lint.messages) messages.push(formatMessage(message, lint.pkg, { color: false }));

  const packed = createPackageFromTarballData(new Uint8Array(data));
  const inside = `/node_modules/${manifest.name}/`;
  const files = packed.listFiles().map((path) => path.replace(inside, ''));
  const read = (path) => packed.readFile(`${inside}${path}`);
  messages.push(...originProblems(manifest, `packages/${name}`), ...contentProblems(files, read));
  messages.push(
    ...(files.includes('README.md') ? await readmeProblems(manifest, read('README.md')) : ['no README.md']),
  );

  const types = await checkPackage(packed);
  if (types.types === false && manifest.exports !== undefined) messages.push('the package has no types');
  for (const problem of types.problems ?? []) if (matters(problem)) messages.push(JSON.stringify(problem));

  console.log(`${manifest.name}: ${messages.length === 0 ? 'ok' : messages.join('\n  ')}`);
  if (messages.length > 0) failed++;
}
const outside = checkFromOutside(scratch);
console.log(`from outside: ${outside.length === 0 ? 'ok' : outside.join('\n')}`);
failed += outside.length;
rmSync(scratch, { recursive: true, force: true });
process.exitCode = failed === 0 ? 0 : 1;
