// Somebody outside the monorepo: a folder with nothing but the packed packages, in which a backend and an attack of one's own are
// tried with node:test and with the command. They are the files of the examples, which the documentation shows.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from '../internal/launcher/src/root.mjs';
import { checkTwoVersions } from './two-versions.mjs';

/** Files of the examples, in the folder side by side. */
const FILES = [
  'write-a-backend/src/mine.mjs',
  'write-a-backend/src/conformance-setup.mjs',
  'write-a-backend/src/mine.test.mjs',
  'write-an-attack/src/remap-data.mjs',
  'write-an-attack/src/scenario.json',
];

const TYPES = {
  compilerOptions: {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    target: 'ES2023',
    module: 'NodeNext',
    types: [],
    allowJs: true,
    checkJs: true,
    noEmit: true,
  },
  include: ['mine.mjs', 'conformance-setup.mjs', 'remap-data.mjs'],
};

/**
 * Tries what a user of the published packages does.
 *
 * @param {string} tarballs the folder that they are in
 * @returns {string[]} what went wrong
 */
export function checkFromOutside(tarballs) {
  const folder = mkdtempSync(join(tmpdir(), 'heki-outside-'));
  try {
    install(tarballs, folder);
    const twice = checkTwoVersions(folder, (to) => install(tarballs, to));
    return [...checkInstalled(folder), ...twice];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The same where they are installed already.
 *
 * @param {string} folder that has them in its node_modules
 * @param {string} node the program that runs what a user runs
 * @returns {string[]} what went wrong
 */
export function checkInstalled(folder, node = process.execPath) {
  for (const file of FILES) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    cpSync(join(root, 'examples', file), join(folder, name));
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(TYPES));
  return CHECKS.flatMap(({ what, command, isRight }) => {
    const { status, stdout, stderr } = spawnSync(node, command(folder), { cwd: folder, encoding: 'utf8' });
    if (status === 0 && isRight(stdout, folder)) return [];
    return [`${what}: exit code ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`];
  });
}

/** Unpacks the packages, and links what they depend on beside each other. */
function install(tarballs, folder) {
  for (const name of readdirSync(join(root, 'packages'))) {
    const from = join(root, 'packages', name);
    const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'));
    const to = join(folder, 'node_modules', manifest.name);
    mkdirSync(to, { recursive: true });
    const tarball = join(
      tarballs,
      `${manifest.name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`,
    );
    spawnSync('tar', ['-xzf', tarball, '-C', to, '--strip-components=1']);
    for (const [dependency, version] of Object.entries({
      ...manifest.dependencies,
      ...manifest.optionalDependencies,
    })) {
      if (version.startsWith('workspace:')) continue;
      const link = join(folder, 'node_modules', dependency);
      mkdirSync(dirname(link), { recursive: true });
      rmSync(link, { force: true });
      symlinkSync(realpathSync(join(from, 'node_modules', dependency)), link, 'junction');
    }
  }
}

const heki =
  (...args) =>
  () => ['node_modules/heki/dist/main.js', ...args];

/** The standing of each attack in the report of `heki protect --json`. */
const standings = (stdout) =>
  Object.fromEntries(JSON.parse(stdout).attacks.map(({ name, standing }) => [name, standing]));

const CHECKS = [
  {
    what: 'the conformance kit under node:test, with no vitest to be found',
    command: () => ['--test', 'mine.test.mjs'],
    isRight: (stdout) => Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? /pass (\d+)/.exec(stdout)?.[1]) > 300,
  },
  {
    what: 'heki protect --hypervisor ./mine.mjs',
    command: heki('protect', '--hypervisor', './mine.mjs', '--cpu', 'amd-zen4', '--json'),
    isRight(stdout) {
      const { verdict, hypervisor } = JSON.parse(stdout);
      const { 'execute-data': execute, 'clear-smep': smep } = standings(stdout);
      const stopped = [execute, smep].every((standing) => standing === 'stopped-by-heki');
      return verdict.inForce === true && hypervisor === './mine.mjs' && stopped;
    },
  },
  {
    what: 'heki audit --html, with the page that comes with it',
    command: heki('audit', '--no-heki', '--json', '--html', 'audit.html'),
    isRight: (_, folder) =>
      readFileSync(join(folder, 'audit.html'), 'utf8').includes('Content-Security-Policy'),
  },
  {
    what: 'heki protect --attack ./remap-data.mjs',
    command: heki('protect', '--attack', './remap-data.mjs', '--json'),
    isRight: (stdout) => standings(stdout)['remap-data'] === 'not-stopped',
  },
  {
    what: 'heki boot --scenario with an attack of its own',
    command: heki('boot', '--scenario', 'scenario.json', '--json'),
    isRight: (stdout) => JSON.parse(stdout).expected === true,
  },
  {
    what: 'a Web Worker, bundled by vite without a warning, that reads a dump with @heki/vmcore',
    command: () => [join(root, 'scripts', 'bundle-worker.mjs')],
    isRight(stdout) {
      const { posted, warnings } = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      return warnings.length === 0 && posted[0]?.because.includes('108 of 108 table pages') === true;
    },
  },
  {
    what: 'the types of what is published',
    command: () => [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'],
    isRight: () => true,
  },
];
