// What each task of turbo.json depends on, as Turbo finds it: a hash over the files, those of the packages it is built on, the lock
// file, and what of the machine a test can see.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { stateOfFiles } from '../../internal/launcher/src/file-state.mjs';
import { root, tool } from '../../internal/launcher/src/root.mjs';
import { isExecutable } from '../debian-programs.mjs';

/** Programs that tests use where there are any. */
const PROGRAMS = 'git npm xz zstd lz4 lzop bzip2 gzip sh bash zsh fish python3'.split(' ');

/** Those that long checks and tests bring in themselves: what does not use them passes as before when they have come. */
const INSTALLED_PROGRAMS = ['qemu-system-x86_64', 'chromium-headless-shell', 'chromium', 'pg_ctlcluster'];

/** Which of `programs` are there: of each the first in PATH, by its path, its size and the time it was written. */
function thereOf(programs) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return programs.flatMap((program) => {
    const path = folders.map((folder) => join(folder, program)).find(isExecutable);
    if (path === undefined) return [];
    const { size, mtimeMs } = statSync(path);
    return [`${path} ${size} ${mtimeMs}`];
  });
}

/** What tests can see of the machine. */
function machine(full) {
  const user = process.getuid?.() === 0 ? 'root' : 'user';
  return [
    process.version,
    process.platform,
    process.arch,
    user,
    full ? 'full' : 'short',
    ...thereOf(PROGRAMS),
  ].join(' ');
}

/** The name in the id of a task, `PACKAGE#NAME` or `NAME`. */
const taskName = (id) => id.slice(id.indexOf('#') + 1);

/**
 * @typedef {object} Inputs
 * @property {string | undefined} hash undefined where there is no telling, which is never to be remembered
 * @property {ReadonlySet<string>} files the paths in the repository that are in it
 */

/**
 * The inputs of every task of turbo.json, by its id: `heki#test`, `//#check:lint`. Undefined when Turbo cannot say.
 *
 * @param {boolean} full
 * @returns {ReadonlyMap<string, Inputs> | undefined}
 */
export function taskInputs(full) {
  const names = new Set(
    Object.keys(JSON.parse(readFileSync(join(root, 'turbo.json'), 'utf8')).tasks).map(taskName),
  );
  const { status, stdout } = spawnSync(
    process.execPath,
    [tool('turbo', 'bin', 'turbo'), 'run', ...names, '--dry=json'],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
      env: {
        ...process.env,
        HEKI_TEST_MACHINE: machine(full),
        INSTALLED_PROGRAMS: thereOf(INSTALLED_PROGRAMS).join(' '),
        TURBO_TELEMETRY_DISABLED: '1',
        DO_NOT_TRACK: '1',
      },
    },
  );
  if (status !== 0) return undefined;
  const { tasks, globalCacheInputs } = JSON.parse(stdout);
  const byId = new Map(tasks.map((task) => [task.taskId, task]));
  const inputs = new Map();
  const kindOf = cached(kindOfFile);
  const filesOf = (id, seen = new Set()) => {
    const task = byId.get(id);
    if (task === undefined || seen.has(id)) return [];
    seen.add(id);
    const own = Object.keys(task.inputs).map((file) => join(task.directory, file));
    return [...own, ...task.dependencies.flatMap((dependency) => filesOf(dependency, seen))];
  };
  for (const { taskId, hash } of tasks) {
    const files = new Set([...Object.keys(globalCacheInputs.files), ...filesOf(taskId)]);
    inputs.set(taskId, { hash: withModes(hash, files, kindOf), files });
  }
  return inputs;
}

/** What Turbo leaves out of `hash`: which of `files` can be executed. Undefined where one is a link: it does not look behind it. */
function withModes(hash, files, kindOf) {
  const kinds = [...files].map((file) => [file, kindOf(file)]);
  if (kinds.some(([, kind]) => kind === 'link')) return undefined;
  const executable = kinds.filter(([, kind]) => kind === 'executable').map(([file]) => file);
  return createHash('sha256')
    .update([hash, ...executable.sort()].join('\n'))
    .digest('hex');
}

/** `answer`, asked once for each file. */
function cached(answer) {
  const answers = new Map();
  return (file) => {
    if (!answers.has(file)) answers.set(file, answer(file));
    return answers.get(file);
  };
}

function kindOfFile(file) {
  const about = lstatSync(join(root, file), { throwIfNoEntry: false });
  if (about?.isSymbolicLink()) return 'link';
  return about !== undefined && (about.mode & 0o111) !== 0 ? 'executable' : 'plain';
}

/**
 * Tells, after a run, which inputs no one wrote to since now. Hashes before and after do not: what was edited may be as it was again.
 *
 * @param {ReadonlyMap<string, Inputs>} inputs
 * @returns {(files: ReadonlySet<string>) => boolean}
 */
export function watchInputs(inputs) {
  const stateOf = (file) => stateOfFiles(root, [file]);
  const before = cached(stateOf);
  for (const { files } of inputs.values()) files.forEach(before);
  const now = cached(stateOf);
  return (files) => [...files].every((file) => before(file) === now(file));
}
