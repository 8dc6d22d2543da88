// `npm test`: what is run after every change. Sets up what is missing, runs checks, unit tests and examples, and ends with a line
// `N passed, N failed` that counts unit tests, vector cases and checks alike. What passed before on the same inputs (turbo.json says which
// they are) is counted and not run again; with `--anew` it is. With `--ci` (`npm run test:ci`) also what takes minutes, or a program
// that has to be installed: everything that must pass. With `--full` (`npm run test:full`) every real guest is booted, too, and the fuzz
// tests run long.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { setUpOrTell } from '../internal/launcher/src/run-heki.mjs';
import { whyNoBrowser, whyNoGuests, whyNoPostgres } from './debian-programs.mjs';
import { taskInputs, watchInputs } from './test/inputs.mjs';
import { remember, remembered } from './test/results.mjs';
import { runUnitTests, unitTestGroups } from './test/unit-tests.mjs';

const FLAGS = ['--ci', '--full', '--anew'];
const unknown = process.argv.slice(2).find((argument) => !FLAGS.includes(argument));
if (unknown !== undefined) {
  process.stderr.write(
    `npm test: ${unknown} is none of ${FLAGS.join(', ')}. The tests of some files or of a package: npx vitest run --project x86\n`,
  );
  process.exit(2);
}
if (!(await setUpOrTell({ forTests: true }))) process.exit(1);

const full = process.argv.includes('--full');
const ci = full || process.argv.includes('--ci');
const anew = process.argv.includes('--anew');

/** Counts of a command that is one check: it passes or it fails. */
const asOneCheck = ({ status }) => ({ passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 });

/** Counts of a command whose last line is `N passed, N failed`. */
function fromLastLine({ status, output }) {
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(output.trimEnd().split('\n').at(-1) ?? '');
  if (counts === null) return { passed: 0, failed: 1 };
  const failed = Number(counts[2]);
  return { passed: Number(counts[1]), failed: status === 0 ? failed : Math.max(failed, 1) };
}

const node = (...args) => [process.execPath, ...args];
const script = (name, ...args) => node(join(root, 'scripts', name), ...args);

/**
 * A check has the name of its task in turbo.json, `//#check:NAME`. These take minutes, or a program that has to be installed. What takes
 * longest, or is waited for, comes first, here as below: what begins last runs alone.
 */
const LONG_CHECKS = [
  { name: 'site', title: 'documentation site', command: script('build-site.mjs') },
  { name: 'docs', title: 'generated documentation', command: script('generate-docs.mjs', '--check') },
  {
    name: 'fidelity',
    title: 'what judges what',
    command: script('generate-docs.mjs', '--fidelity', '--check'),
  },
  {
    name: 'guests',
    title: 'real guests',
    command: script('test-qemu.mjs', ...(full ? ['--all'] : [])),
    count: fromLastLine,
  },
  { name: 'packed', title: 'packed packages', command: script('check-packages.mjs') },
  ...(full
    ? [
        {
          name: 'registry',
          title: 'the next release, installed by name',
          command: script('test-registry.mjs'),
          count: fromLastLine,
        },
      ]
    : []),
  // It opens the site, too.
  {
    name: 'pages',
    title: 'pages in a browser',
    command: script('test-pages.mjs'),
    count: fromLastLine,
    after: 'site',
  },
];

const SHORT_CHECKS = [
  {
    name: 'types',
    title: 'types',
    command: node(tool('typescript', 'bin', 'tsc'), '-p', 'tsconfig.tests.json'),
  },
  {
    name: 'unused',
    title: 'unused code',
    command: node(tool('knip', 'bin', 'knip.js'), '--no-config-hints', '--no-progress'),
  },
  { name: 'faces', title: 'public faces', command: script('check-public-faces.mjs') },
  {
    name: 'vectors',
    title: 'vectors',
    command: node('internal/vectors/dist/main.js', 'vectors'),
    count: fromLastLine,
  },
  {
    name: 'lint',
    title: 'lint and format',
    command: node(tool('@biomejs', 'biome', 'bin', 'biome'), 'ci', '--colors=off', '.'),
  },
  { name: 'sizes', title: 'sizes of packages', command: script('check-sizes.mjs') },
  { name: 'bits', title: 'bit operators', command: script('check-bit-operators.mjs') },
  {
    name: 'boundaries',
    title: 'package boundaries',
    command: node(tool('turbo', 'bin', 'turbo'), 'boundaries'),
  },
  { name: 'architecture', title: 'architecture page', command: script('check-architecture.mjs') },
  {
    name: 'dependencies',
    title: 'licences and integrity of dependencies',
    command: script('check-dependencies.mjs'),
  },
  { name: 'links', title: 'links', command: script('check-links.mjs') },
];

const checks = [...(ci ? LONG_CHECKS : []), ...SHORT_CHECKS];

const env = {
  ...process.env,
  ...(full ? { HEKI_FUZZ: 'long', HEKI_FAULTS: 'long' } : {}),
  TURBO_TELEMETRY_DISABLED: '1',
  DO_NOT_TRACK: '1',
  NO_COLOR: '1',
  // Programs of tests would print in colour, and tests read what they print.
  FORCE_COLOR: undefined,
};

// What the machine has is a part of what tests depend on. Those that take what cannot be had say so.
if (ci) {
  whyNoGuests(full);
  whyNoBrowser();
  const noPostgres = whyNoPostgres();
  if (noPostgres !== undefined) process.stdout.write(`not run: fleets on PostgreSQL: ${noPostgres}\n`);
}
const inputs = taskInputs(full);
const isUntouched = watchInputs(inputs ?? new Map());
if (inputs === undefined) process.stdout.write('turbo cannot say what depends on what: everything runs\n');
let [passed, failed, cached] = [0, 0, 0];
const failures = [];
const toRemember = [];

/** Whether `task` passed before on its inputs; it is counted then. */
function passedBefore(task) {
  const hash = inputs?.get(task)?.hash;
  const count = anew || hash === undefined ? undefined : remembered(task, hash);
  if (count === undefined) return false;
  passed += count;
  cached += count;
  return true;
}

/** Counts what `task` came to. */
function account(task, title, counts) {
  passed += counts.passed;
  failed += counts.failed;
  if (counts.failed > 0) failures.push(title);
  // That nothing was run is nothing to remember.
  else if (counts.passed > 0) toRemember.push({ task, passed: counts.passed });
}

/** Runs a check, and shows what it says when it has ended: others run beside it. */
async function runCheck({ name, title, command, count = asOneCheck }) {
  const started = Date.now();
  const [program, ...args] = command;
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env });
  let [output, all] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    all += text;
  });
  const status = await new Promise((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', resolve);
  });
  const counts = count({ status, output });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `\n== ${title}\n${all}${title}: ${counts.passed} passed, ${counts.failed} failed (${seconds} s)\n`,
  );
  account(`//#check:${name}`, title, counts);
}

/** As many of the checks at a time as there are processors; one that comes `after` another waits for it. */
async function runChecks(waiting) {
  const left = [...waiting];
  const running = new Set();
  const lane = async () => {
    for (;;) {
      const isReady = ({ after }) => !left.concat([...running]).some(({ name }) => name === after);
      const next = left.find(isReady);
      if (next === undefined) return;
      left.splice(left.indexOf(next), 1);
      running.add(next);
      await runCheck(next);
      running.delete(next);
    }
  };
  while (left.length > 0) await Promise.all(Array.from({ length: availableParallelism() }, lane));
}

const groups = new Map([...unitTestGroups(ci)].filter(([task]) => !passedBefore(task)));
const openChecks = checks.filter(({ name }) => !passedBefore(`//#check:${name}`));

await runChecks(openChecks);
if (groups.size > 0) {
  process.stdout.write('\n== unit tests and examples\n');
  for (const [task, { undeclared, ...counts }] of runUnitTests(groups, inputs, env)) {
    const title = `tests of ${task.replace('//#test:', '').replace('#', ', ')}`;
    const reads = `turbo.json does not say that ${task} reads ${undeclared.join(', ')}`;
    if (undeclared.length === 0) account(task, title, counts);
    else
      account(task, counts.failed > 0 ? `${title}; ${reads}` : reads, {
        ...counts,
        failed: counts.failed + 1,
      });
  }
}

// What was edited meanwhile was tested in part, even where it is by now as it was.
const inputsNow = toRemember.length > 0 ? taskInputs(full) : undefined;
for (const { task, passed: count } of toRemember) {
  const { hash, files } = inputs?.get(task) ?? {};
  if (hash !== undefined && hash === inputsNow?.get(task)?.hash && isUntouched(files))
    remember(task, hash, count);
}

if (failures.length > 0) process.stdout.write(`\nfailed: ${failures.join('; ')}\n`);
if (cached > 0)
  process.stdout.write(`\n${cached} of these passed before on the same inputs: with --anew they are run\n`);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
