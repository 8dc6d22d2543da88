// `npm test`: everything that must pass. Sets up what is missing, runs every check, and ends with a line
// `N passed, N failed` that counts unit tests, vector cases and checks alike. With `--full` (`npm run test:full`) every real guest is
// booted and the fuzz tests run long.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, tool } from '../internal/launcher/src/root.mjs';
import { setUpOrTell } from '../internal/launcher/src/run-heki.mjs';

if (!(await setUpOrTell())) process.exit(1);

const full = process.argv.includes('--full');
const scratch = mkdtempSync(join(tmpdir(), 'heki-test-'));
const unitReport = join(scratch, 'unit.json');

/** Counts of a command that is one check: it passes or it fails. */
const asOneCheck = ({ status }) => ({ passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1 });

/** Counts of a command whose last line is `N passed, N failed`. */
function fromLastLine({ status, stdout }) {
  const counts = /^(\d+) passed, (\d+) failed$/m.exec(stdout.trimEnd().split('\n').at(-1) ?? '');
  if (counts === null) return { passed: 0, failed: 1 };
  const failed = Number(counts[2]);
  return { passed: Number(counts[1]), failed: status === 0 ? failed : Math.max(failed, 1) };
}

/** Counts of the unit tests, from the report that vitest wrote. */
function fromUnitReport({ status }) {
  try {
    const report = JSON.parse(readFileSync(unitReport, 'utf8'));
    const failed = report.numFailedTests + (report.numTotalTests === 0 ? 1 : 0);
    return { passed: report.numPassedTests, failed: status === 0 ? failed : Math.max(failed, 1) };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

const node = (...args) => [process.execPath, ...args];
const script = (name, ...args) => node(join(root, 'scripts', name), ...args);

const checks = [
  { name: 'types', command: node(tool('typescript', 'bin', 'tsc'), '-p', 'tsconfig.tests.json') },
  {
    name: 'lint and format',
    command: node(tool('@biomejs', 'biome', 'bin', 'biome'), 'ci', '--colors=off', '.'),
  },
  {
    name: 'unused code',
    command: node(tool('knip', 'bin', 'knip.js'), '--no-config-hints', '--no-progress'),
  },
  { name: 'package boundaries', command: node(tool('turbo', 'bin', 'turbo'), 'boundaries') },
  { name: 'architecture page', command: script('check-architecture.mjs') },
  { name: 'public faces', command: script('check-public-faces.mjs') },
  { name: 'links', command: script('check-links.mjs') },
  { name: 'bit operators', command: script('check-bit-operators.mjs') },
  { name: 'generated documentation', command: script('generate-docs.mjs', '--check') },
  {
    name: 'unit tests and examples',
    command: node(
      tool('vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${unitReport}`,
    ),
    count: fromUnitReport,
  },
  { name: 'vectors', command: node('internal/vectors/dist/main.js', 'vectors'), count: fromLastLine },
  { name: 'packed packages', command: script('check-packages.mjs') },
  { name: 'documentation site', command: script('build-site.mjs') },
  { name: 'pages in a browser', command: script('test-pages.mjs'), count: fromLastLine },
  { name: 'real guests', command: script('test-qemu.mjs', ...(full ? ['--all'] : [])), count: fromLastLine },
];

let passed = 0;
let failed = 0;
const failures = [];
for (const { name, command, count = asOneCheck } of checks) {
  process.stdout.write(`\n== ${name}\n`);
  const started = Date.now();
  const [program, ...args] = command;
  const result = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 256 * 1024 * 1024,
    env: {
      ...process.env,
      ...(full ? { HEKI_FUZZ: 'long' } : {}),
      TURBO_TELEMETRY_DISABLED: '1',
      DO_NOT_TRACK: '1',
      NO_COLOR: '1',
    },
  });
  process.stdout.write(result.stdout);
  const counts = count(result);
  passed += counts.passed;
  failed += counts.failed;
  if (counts.failed > 0) failures.push(name);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${name}: ${counts.passed} passed, ${counts.failed} failed (${seconds} s)\n`);
}
rmSync(scratch, { recursive: true, force: true });

if (failures.length > 0) process.stdout.write(`\nfailed: ${failures.join('; ')}\n`);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
