// Whether what stands in every `dist` is what was built there, from the sources that are there now. The compiler asks only
// whether sources changed: a file that went missing or was cut off in a `dist` does not concern it.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './root.mjs';

const record = join(root, '.cache', 'heki', 'built.json');
const BUILD_INFO = '.tsbuildinfo';

/** The folders that `tsc -b` builds. */
function projects() {
  const { references } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  return references.map(({ path }) => path);
}

/** Sizes and times of `files` and of all files under `folders`, as one short text. */
function fingerprint(folder, parts) {
  const hash = createHash('sha256');
  for (const part of parts) addTo(hash, join(folder, part));
  return hash.digest('hex');
}

function addTo(hash, path) {
  const about = statSync(path, { throwIfNoEntry: false });
  if (about === undefined) return;
  if (about.isDirectory()) {
    for (const name of readdirSync(path).sort()) addTo(hash, join(path, name));
  } else {
    hash.update(`${path}\0${about.size}\0${about.mtimeMs}\n`);
  }
}

/** The state of all sources. To be taken before a build: what is edited while it runs is not built. */
export function stateOfSources() {
  return Object.fromEntries([
    ['.', fingerprint(root, ['tsconfig.json', 'tsconfig.base.json', 'pnpm-lock.yaml'])],
    ...projects().map((project) => [
      project,
      fingerprint(join(root, project), ['src', 'tsconfig.json', 'package.json', 'build-page.mjs']),
    ]),
  ]);
}

/** The state of all outputs; `compiler` tells whether the compiler has been there. */
function stateOfOutputs() {
  return Object.fromEntries(
    projects().map((project) => {
      const folder = join(root, project, 'dist');
      return [project, { compiler: fingerprint(folder, [BUILD_INFO]), files: fingerprint(folder, ['.']) }];
    }),
  );
}

function recorded() {
  try {
    return JSON.parse(readFileSync(record, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The state of the command's bundle, which is made of the outputs, and of the inspector's. */
const stateOfBundle = () => fingerprint(join(root, 'packages', 'heki'), ['bundle', 'inspector']);

export function isBuilt() {
  const now = { sources: stateOfSources(), outputs: stateOfOutputs(), bundle: stateOfBundle() };
  return JSON.stringify(recorded()) === JSON.stringify(now);
}

/** Whether what is built of some projects is what was built there, from the sources that are there now. */
export function areBuilt(some) {
  const before = recorded();
  const [sources, outputs] = [stateOfSources(), stateOfOutputs()];
  return some.every(
    (project) =>
      before?.sources[project] === sources[project] &&
      JSON.stringify(before.outputs[project]) === JSON.stringify(outputs[project]),
  );
}

/**
 * Makes the compiler build again what is damaged: outputs that changed though it has not been there since. All of them,
 * when no build is on record: the last one may have been cut short.
 */
export function forgetDamage() {
  const before = recorded()?.outputs;
  for (const [project, { compiler, files }] of Object.entries(stateOfOutputs())) {
    const was = before?.[project];
    if (was === undefined || (was.compiler === compiler && was.files !== files)) {
      rmSync(join(root, project, 'dist', BUILD_INFO), { force: true });
    }
  }
  rmSync(record, { force: true });
}

/** Removes outputs of sources that are there no longer: nothing else does, and they would be packed. */
export function removeOrphans() {
  for (const project of projects()) {
    const folder = join(root, project, 'dist');
    for (const path of statSync(folder, { throwIfNoEntry: false })
      ? readdirSync(folder, { recursive: true })
      : []) {
      const [, source] = /^(.*?)(?:\.d\.ts|\.js|\.js\.map)$/.exec(path) ?? [];
      const isThere = (suffix) => existsSync(join(root, project, 'src', `${source}${suffix}`));
      if (source === undefined || isThere('.ts') || isThere('.tsx')) continue;
      rmSync(join(folder, path));
    }
  }
}

/** Puts on record what was built from `sources`. */
export function recordBuild(sources) {
  mkdirSync(dirname(record), { recursive: true });
  writeFileSync(record, JSON.stringify({ sources, outputs: stateOfOutputs(), bundle: stateOfBundle() }));
}
