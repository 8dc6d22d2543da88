// Whether what stands in every `dist` is what was built there, from the sources that are there now. The compiler asks only
// whether sources changed: a file that went missing or was cut off in a `dist` does not concern it.
// It is asked before every command, so that it reads no contents and makes no hash: node:crypto alone takes longer to load.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { stateOfFiles } from './file-state.mjs';
import { root } from './root.mjs';

const record = join(root, '.cache', 'heki', 'built.json');
const BUILD_INFO = '.tsbuildinfo';

/** Older than any source; the compiler takes 0 for no file. */
const LONG_AGO = 1;

/** What all outputs depend on, beside the sources of their package. */
const OF_ALL = [
  'tsconfig.json',
  'tsconfig.base.json',
  'pnpm-lock.yaml',
  'scripts/bundle-heki.mjs',
  'scripts/bundle-inspector.mjs',
];

/** The folders that `tsc -b` builds. */
function projects() {
  const { references } = JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8'));
  return references.map(({ path }) => path);
}

/** The state of all sources. To be taken before a build: what is edited while it runs is not built. */
export function stateOfSources() {
  return Object.fromEntries([
    ['.', stateOfFiles(root, OF_ALL)],
    ...projects().map((project) => [
      project,
      stateOfFiles(
        join(root, project),
        ['src', 'tsconfig.json', 'package.json', 'build-page.mjs'],
        (name) => !/\.(?:test|bench)\.tsx?$/.test(name),
      ),
    ]),
  ]);
}

/** The state of all outputs that are read again; `compiler` tells whether the compiler has been there. */
function stateOfOutputs() {
  return Object.fromEntries(
    projects().map((project) => [
      project,
      {
        compiler: stateOfFiles(join(root, project, 'dist'), [BUILD_INFO]),
        files: stateOfFiles(join(root, project), ['dist'], (name) => !name.endsWith('.map')),
      },
    ]),
  );
}

/**
 * The state of what a command loads, which is the bundles and what stands outside them, and of the compiler's notes. Thousands of
 * other outputs need not be asked for; a build that did not end has no record.
 */
function stateOfCode() {
  return stateOfFiles(join(root, 'packages'), [
    ...['bundle', 'inspector', 'dist/main.js', 'dist/bundle.js'].map((part) => `heki/${part}`),
    'fleet/dist',
    'physical-memory/dist',
    ...projects().map((project) => `../${project}/dist/${BUILD_INFO}`),
  ]);
}

function recorded() {
  try {
    return JSON.parse(readFileSync(record, 'utf8'));
  } catch {
    return undefined;
  }
}

/** @param {boolean} forTests whether it is not enough that the command runs: all outputs are to be whole, and all types right */
export function isBuilt(forTests) {
  const before = recorded();
  return (
    before?.code === stateOfCode() &&
    isSame(before.sources, stateOfSources()) &&
    (!forTests || (before.checked === true && isSame(before.outputs, stateOfOutputs())))
  );
}

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Whether what is built of some projects is what was built there, from the sources that are there now. */
export function areBuilt(some) {
  const before = recorded();
  const [sources, outputs] = [stateOfSources(), stateOfOutputs()];
  return (
    before?.sources['.'] === sources['.'] &&
    some.every(
      (project) =>
        before?.sources[project] === sources[project] && isSame(before?.outputs[project], outputs[project]),
    )
  );
}

/**
 * Makes the compiler build again what is damaged: outputs that changed though it has not been there since. All of them,
 * when no build is on record: the last one may have been cut short.
 *
 * What changed in `sources` it is made to read: by itself it takes a file that is older than its notes for one that it has built, as one
 * out of a backup is, one that was edited while it ran, or any after the clock was set back.
 */
export function forgetStale(sources) {
  const before = recorded();
  const isOther = (project) => before?.sources[project] !== sources[project];
  for (const [project, { compiler, files }] of Object.entries(stateOfOutputs())) {
    const was = before?.outputs[project];
    const notes = join(root, project, 'dist', BUILD_INFO);
    if (was === undefined || (was.compiler === compiler && was.files !== files))
      rmSync(notes, { force: true });
    else if (existsSync(notes) && (isOther('.') || isOther(project) || statSync(notes).mtimeMs > Date.now()))
      utimesSync(notes, LONG_AGO, LONG_AGO);
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

/** Puts on record what was built from `sources`, and whether their types were checked. */
export function recordBuild(sources, checked) {
  mkdirSync(dirname(record), { recursive: true });
  const state = { sources, outputs: stateOfOutputs(), code: stateOfCode(), checked };
  writeFileSync(record, JSON.stringify(state));
}
