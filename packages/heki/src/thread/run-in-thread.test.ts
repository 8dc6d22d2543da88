import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectFile } from '../testing/run-command.ts';
import { mayRunModules } from './may-run-modules.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-thread-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The built command: `npm test` builds it before the tests run. */
const MAIN = new URL('../../dist/main.js', import.meta.url);
const MINE = pathToFileURL(projectFile('examples/write-a-backend/src/mine.mjs')).href;

let files = 0;
function file(text: string): string {
  const path = join(scratch, `file-${files++}.mjs`);
  writeFileSync(path, text);
  return path;
}

/** A command line, and how long its modules may take, if less than usual. */
interface Line {
  readonly args: readonly string[];
  readonly patience?: number | undefined;
}

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs each command line as `main.ts` does, all side by side in one process: what takes time is to start one. */
async function inThreads(lines: readonly Line[]): Promise<Outcome[]> {
  const script = `import { runInThread } from ${JSON.stringify(new URL('command.js', MAIN).href)};
const outcomes = await Promise.all(${JSON.stringify(lines)}.map(async ({ args, patience }) => {
  const written = { stdout: '', stderr: '' };
  const output = (name) => ({ write: async (data) => void (written[name] += data), isTerminal: false });
  const io = { stdout: output('stdout'), stderr: output('stderr'), env: process.env };
  const exitCode = await runInThread(new URL(${JSON.stringify(MAIN.href)}), args, io, patience);
  return { exitCode, ...written };
}));
console.log(JSON.stringify(outcomes));`;
  const env = { PATH: process.env.PATH, LANG: 'C.UTF-8' };
  const { stdout } = await promisify(execFile)(process.execPath, [file(script)], { env });
  return JSON.parse(stdout);
}

/** A test of one module: its name, the flag that takes it, the file, and what is said of it. */
type Case = readonly [name: string, flag: string, path: string, expected: RegExp, patience?: number];

/** Boots with each module. */
function outcomesOf(cases: readonly Case[]): Promise<Outcome[]> {
  return inThreads(
    cases.map(([, flag, path, , patience]) => ({
      args: ['boot', '--memory', '64MiB', '--cpu', 'amd-zen4', flag, path],
      patience,
    })),
  );
}

const attack = (run: string): string =>
  file(`export default { name: 'mine', title: 'try', meaning: 'much', run(attacker) { ${run} } };`);

/** mine.mjs, whose machine takes an event of its own exits to run `code`. */
const backend = (code: string): string =>
  file(`import mine, { driver } from ${JSON.stringify(MINE)}; export { driver };
export default (settings) => {
  const real = mine(settings);
  return { ...real, createVirtualMachine: (options) => real.createVirtualMachine({ ...options, onEvent(event) {
if (event.type === 'protected') { ${code} } } }) };
};`);

const STUCK: readonly Case[] = [
  ['in its own code', '--attack', file('for (;;) {}'), /: its own code goes on for 0.5 seconds: /, 500],
  [
    'in code that waits, and would for a year',
    '--attack',
    file('await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1));'),
    /: its own code goes on for 0.5 seconds: /,
    500,
  ],
  ['in an attack', '--attack', attack('for (;;) {}'), /: attack mine goes on for 0.5 seconds: /, 500],
  [
    'in an exit',
    '--hypervisor',
    // As `for (;;) {}`, without the work.
    backend('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'),
    // Whichever was seen last.
    /: (?:protectMemory|an exit of its virtual CPUs) goes on for 4 seconds: /,
    // Long enough to load what the module imports.
    4000,
  ],
];

const ENDING: readonly Case[] = [
  [
    'waits for what never comes',
    '--attack',
    file('await new Promise(() => {});'),
    /: waits for what never comes: /,
  ],
  ['ends the process', '--attack', attack('process.exit(0);'), /: ended the command: expected/],
  [
    'throws where it was not called',
    '--attack',
    file('setTimeout(() => { throw new Error("late"); });\nawait new Promise(() => {});'),
    /mjs:1:26: threw Error: late$/,
  ],
  [
    'leaves a promise that fails with no error',
    '--attack',
    file('Promise.reject("x");\nawait new Promise(() => {});'),
    /: threw /,
  ],
];

describe.each([
  ['never hands back ends, is told by its name, and is a file that cannot be used', STUCK],
  ['ends its thread is told by its name', ENDING],
])('a module that %s', (_, cases) => {
  let outcomes: readonly Outcome[] = [];
  beforeAll(async () => {
    outcomes = await outcomesOf(cases);
  }, 120_000);

  test.each(cases.map(([name, , path, expected], index) => [name, index, path, expected] as const))(
    'one that %s',
    (_name, index, path, expected) => {
      const { exitCode, stdout, stderr = '' } = outcomes[index] ?? {};
      expect(stderr).toContain(`heki: ${path}:`);
      expect(stderr.trimEnd()).toMatch(expected);
      expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
    },
  );
});

test('what a module prints goes to standard error, without what a terminal obeys; its timers do not hold the command', async () => {
  const path = file(
    `console.log('so \\x1b[31m'); console.error('err \\x1b[2J'); setInterval(() => {}, 1000); export { default } from ${JSON.stringify(
      pathToFileURL(projectFile('examples/write-an-attack/src/remap-data.mjs')).href,
    )};`,
  );
  const [outcome] = await inThreads([{ args: ['boot', '--memory', '64MiB', '--attack', path, '--json'] }]);
  const { exitCode, stdout, stderr } = outcome ?? expect.fail();
  expect(JSON.parse(stdout)).toMatchObject({ steps: [{ step: { how: 'remap-data' } }] });
  expect(exitCode).toBe(0);
  expect(stderr.split('\n').sort()).toEqual(['', 'err \\x1b[2J', 'so \\x1b[31m']);
});

test('a module that speaks for the command, in any way that it can, changes no answer', async () => {
  const path = file(`import { parentPort, workerData } from 'node:worker_threads';
for (const value of Object.values(workerData ?? {})) value.close?.();
parentPort.postMessage(null);
parentPort.postMessage({});
parentPort.postMessage({ type: 'done', exitCode: 0 });
parentPort.close();
export default { name: 'mine', title: 'try', meaning: 'much', run() { throw new Error('found it'); } };`);
  const [outcome] = await inThreads([{ args: ['boot', '--memory', '64MiB', '--attack', path] }]);
  expect(outcome?.stderr).toContain('found it');
  expect(outcome?.exitCode).toBe(3);
});

test.each([
  [['protect', '--attack', './x.mjs'], true],
  [['protect', '--hypervisor=./x.mjs'], true],
  [['boot', '--scenario', 'x.yaml'], true],
  [['explore', '--machine', './x.mjs'], true],
  [['backends', 'kvm', './x.mjs'], true],
  [['backends', 'kvm'], false],
  [['protect', './dump.elf', '--hypervisor', 'xen'], true],
  [['protect', './dump.elf'], false],
  [['attack', '--machine', 'kvm'], false],
])('%j may run modules: %j', (args, expected) => {
  expect(mayRunModules(args)).toBe(expected);
});
