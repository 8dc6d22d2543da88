// Brings the clone into a state that can run: the pinned pnpm, the dependencies, the build. What it has to say goes to
// standard error: standard output is the command's.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import {
  areBuilt,
  forgetStale,
  isBuilt,
  recordBuild,
  removeOrphans,
  stateOfSources,
} from './build-state.mjs';
import { forgetInstallation, isInstalled, recordInstallation } from './installation.mjs';
import { withLock } from './lock.mjs';
import { root, tool } from './root.mjs';
import { whyItFailed } from './why-it-failed.mjs';

/** The clone cannot be set up, in words for its user. */
export class SetUpError extends Error {
  name = 'SetUpError';
}

/**
 * Installs and builds what is not installed and built yet. Of several processes one does it, and the others wait.
 *
 * @param {boolean} forTests whether it is not enough that the command runs: all outputs are to be whole, and all types right
 */
export async function setUp(forTests) {
  try {
    accessSync(root, constants.W_OK);
  } catch {
    if (isInstalled() && isBuilt(forTests)) return;
    throw new SetUpError(
      `heki cannot set itself up: ${root} is not writable. Clone it to where you can write, or let its owner run ./heki once.`,
    );
  }
  await withLock(
    `set-up of ${realpathSync(root)}`,
    async (lock) => {
      try {
        if (!isInstalled()) await install(lock);
        recordInstallation();
        if (!isBuilt(forTests)) await build(lock, forTests);
      } catch (error) {
        throw inWords(error);
      }
    },
    () => say('Another process sets heki up; waiting for it ...'),
  );
}

/** What the system said to this process itself, as of a full disk. */
function inWords(error) {
  const why = error instanceof SetUpError ? undefined : whyItFailed(error.code ?? '');
  return why === undefined ? error : new SetUpError(`Setting heki up failed: ${error.path ?? root}: ${why}`);
}

/** Installs what the lock file names with the pnpm that package.json pins. */
async function install(lock) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  say('Installing dependencies ...');
  forgetInstallation();
  await step('Installing dependencies', lock, 'npx', [
    '--yes',
    packageManager,
    'install',
    '--frozen-lockfile',
    '--loglevel=warn',
    '--config.confirm-modules-purge=false',
  ]);
}

/** What the page of the audit is made of. */
const PAGE_SOURCES = ['packages/inspector', 'packages/physical-memory'];

/** Compiles what changed since the last build or was damaged since; says so only when there is everything to compile. */
async function build(lock, forTests) {
  const isFirst = !existsSync(join(root, 'packages', 'heki', 'dist', 'main.js'));
  const noCheck = isFirst && !forTests;
  if (isFirst) say('Building ...');
  const sources = stateOfSources();
  const hasPage = areBuilt(PAGE_SOURCES);
  forgetStale(sources);
  const page = join(root, 'packages', 'inspector', 'build-page.mjs');
  await Promise.all([
    // Whoever only runs what was cloned need not wait until its types are checked. The compiler remembers that they are not: the next
    // build, of what was edited or before tests, checks them all.
    step('Building', lock, process.execPath, [
      tool('typescript', 'bin', 'tsc'),
      '-b',
      ...(noCheck ? ['--noCheck'] : []),
    ]),
    ...(hasPage ? [] : [step('Building the page of the audit', lock, process.execPath, [page])]),
  ]);
  removeOrphans();
  await Promise.all(
    ['bundle-heki.mjs', 'bundle-inspector.mjs'].map((script) =>
      step('Building', lock, process.execPath, [join(root, 'scripts', script)]),
    ),
  );
  recordBuild(sources, !noCheck);
}

/** On Windows npx is a script of cmd.exe. Node is not, and its path has a space in it there, which a shell would not take as it is. */
function runsInShell(command) {
  return process.platform === 'win32' && command !== process.execPath;
}

/** Runs a step of the set-up, whose output is shown only when it fails. */
async function step(what, lock, command, args) {
  const options = {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', lock],
    env: {
      ...process.env,
      // A quiet npm would not say why it failed, and by itself it tries for 70 seconds before it says so.
      npm_config_loglevel: 'error',
      npm_config_fetch_retry_mintimeout: '1000',
      npm_config_fetch_retry_maxtimeout: '5000',
    },
  };
  const child = runsInShell(command)
    ? spawn([command, ...args].join(' '), { ...options, shell: true })
    : spawn(command, args, options);
  let output = '';
  // A program that could not be started has no streams.
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const failure = await new Promise((resolve) => {
    child.on('error', ({ code }) =>
      resolve(code === 'ENOENT' ? `there is no ${command} in PATH` : (whyItFailed(code) ?? code)),
    );
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `it ended with ${signal ?? code}`));
  });
  if (failure === undefined) return;
  throw new SetUpError(`${output.trim()}\n\n${what} failed: ${whyItFailed(output) ?? failure}`.trim());
}

function say(text) {
  process.stderr.write(`${text}\n`);
}
