// The unit tests, in groups of a package's that are remembered together. All groups that have to run do so in one vitest and one of its
// projects: one for each package would spend more on its start than on most packages' tests.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { root, tool } from '../../internal/launcher/src/root.mjs';

/** Tests in a browser, which are a check of their own. */
const ELSEWHERE = 'internal/pages';

/** One project for all. */
const CONFIG = join(root, 'scripts', 'test', 'vitest.config.mjs');

/** Tells what went wrong outside of every test. */
const UNHANDLED = join(root, 'scripts', 'test', 'unhandled-errors.mjs');

/** What takes long, or a program that has to be installed. */
const LONG = '.long.test.ts';

/**
 * The test files of every group, by the id of its task in turbo.json.
 *
 * @param {boolean} long whether the long tests are among them
 * @returns {ReadonlyMap<string, readonly string[]>} paths in the repository
 */
export function unitTestGroups(long) {
  const groups = new Map();
  for (const folder of ['packages', 'internal', 'examples'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(parent, name)),
  )) {
    if (folder === join(...ELSEWHERE.split('/')) || !existsSync(join(root, folder, 'vitest.config.ts')))
      continue;
    const { name } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    for (const file of readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.test.ts') || (!long && file.endsWith(LONG))) continue;
      const task = taskOf(folder, name, file);
      groups.set(task, [...(groups.get(task) ?? []), join(folder, 'src', file)]);
    }
  }
  return groups;
}

function taskOf(folder, name, file) {
  if (folder === join('internal', 'launcher'))
    return file.endsWith(LONG) ? '//#test:launcher-long' : '//#test:launcher';
  if (file.endsWith(LONG)) return `${name}#test:long`;
  // What an example prints is held to its README.
  if (basename(file) === 'readme.test.ts' || folder.startsWith('examples')) return `${name}#test:readme`;
  return `${name}#test`;
}

/**
 * @typedef {object} GroupResult
 * @property {number} passed
 * @property {number} failed
 * @property {readonly string[]} undeclared what its tests read that is not among its inputs
 */

/**
 * Runs the tests of `groups` in one vitest.
 *
 * @param {ReadonlyMap<string, readonly string[]>} groups
 * @param {ReadonlyMap<string, import('./inputs.mjs').Inputs> | undefined} inputs
 * @param {NodeJS.ProcessEnv} env
 * @returns {ReadonlyMap<string, GroupResult>}
 */
export function runUnitTests(groups, inputs, env) {
  const scratch = mkdtempSync(join(tmpdir(), 'heki-unit-'));
  const [reportFile, readsFile, errorsFile] = ['report.json', 'reads', 'errors'].map((name) =>
    join(scratch, name),
  );
  const files = [...groups.values()].flat();
  const reporters = ['default', 'json', UNHANDLED].map((reporter) => `--reporter=${reporter}`);
  reporters.push(`--outputFile.json=${reportFile}`);
  const { status } = spawnSync(
    process.execPath,
    [
      tool('vitest', 'vitest.mjs'),
      'run',
      '--config',
      CONFIG,
      ...reporters,
      ...files.map((file) => join(root, file)),
    ],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...env, HEKI_TEST_READS: readsFile, HEKI_TEST_ERRORS: errorsFile },
    },
  );
  const ran = existsSync(reportFile) ? JSON.parse(readFileSync(reportFile, 'utf8')) : { testResults: [] };
  const reads = existsSync(readsFile) ? readFileSync(readsFile, 'utf8').split('\n') : [];
  const hasUnhandled = existsSync(errorsFile);
  rmSync(scratch, { recursive: true, force: true });

  const byFile = new Map(ran.testResults.map((result) => [relative(root, result.name), countsOf(result)]));
  const results = new Map();
  for (const [task, tests] of groups) {
    // A file that vitest did not get to has failed.
    const counts = tests.map((test) => byFile.get(test) ?? { passed: 0, failed: 1 });
    const passed = counts.reduce((sum, count) => sum + count.passed, 0);
    const failed = counts.reduce((sum, count) => sum + count.failed, 0);
    const undeclared = undeclaredReads(reads, new Set(tests), inputs?.get(task)?.files);
    results.set(task, { passed, failed, undeclared });
  }
  // A failure that is of no test, as a rejection that no one handles: it may be any group's, whichever tests failed beside it.
  if (hasUnhandled || (status !== 0 && [...results.values()].every(({ failed }) => failed === 0))) {
    for (const result of results.values()) result.failed = Math.max(result.failed, 1);
  }
  return results;
}

function countsOf({ status, assertionResults }) {
  const failed = assertionResults.filter((test) => test.status === 'failed').length;
  return {
    passed: assertionResults.filter((test) => test.status === 'passed').length,
    failed: status === 'passed' ? failed : Math.max(failed, 1),
  };
}

/** Files of the repository that `tests` read, and which are not among `files`. What is built of sources and installed is left out. */
function undeclaredReads(reads, tests, files) {
  if (files === undefined) return [];
  const missing = new Set();
  for (const line of reads) {
    const [test, path] = line.split('\t');
    if (test === undefined || path === undefined || !tests.has(relative(root, test))) continue;
    const file = relative(root, path);
    if (
      file.startsWith('..') ||
      /(^|[/\\])(node_modules|dist|bundle|heki[/\\]inspector|\.git|\.cache)([/\\]|$)/.test(file)
    )
      continue;
    const name = file.replaceAll(sep, '/');
    // Looked for in vain is not read: names that tests make up, and files that may stand beside others.
    if (!files.has(name) && isFile(path)) missing.add(name);
  }
  return [...missing].sort();
}

function isFile(path) {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
