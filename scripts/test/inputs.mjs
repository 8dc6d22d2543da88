// What each task of turbo.json depends on, as Turbo finds it: a hash over the files, those of the packages it is built on, the lock
// file, and what of the machine a test can see.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { root, tool } from '../../internal/launcher/src/root.mjs';

/** Programs that tests use where there are any. */
const PROGRAMS = ['git', 'npm', 'xz', 'zstd', 'lz4', 'lzop', 'bzip2', 'gzip'];

/** Those that long checks and tests bring in themselves: what does not use them passes as before when they have come. */
const INSTALLED_PROGRAMS = ['qemu-system-x86_64', 'chromium-headless-shell', 'chromium', 'pg_ctlcluster'];

/** Which of `programs` are there. */
function thereOf(programs) {
  return programs.filter((program) =>
    (process.env.PATH ?? '').split(delimiter).some((folder) => {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    }),
  );
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
 * @typedef {{ readonly hash: string, readonly files: ReadonlySet<string> }} Inputs the hash, and the paths in the repository that are in it
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
  const filesOf = (id, seen = new Set()) => {
    const task = byId.get(id);
    if (task === undefined || seen.has(id)) return [];
    seen.add(id);
    const own = Object.keys(task.inputs).map((file) => join(task.directory, file));
    return [...own, ...task.dependencies.flatMap((dependency) => filesOf(dependency, seen))];
  };
  for (const { taskId, hash } of tasks) {
    const files = new Set([...Object.keys(globalCacheInputs.files), ...filesOf(taskId)]);
    inputs.set(taskId, { hash, files });
  }
  return inputs;
}
