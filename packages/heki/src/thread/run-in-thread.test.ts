import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
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

/** Runs the command as `main.ts` does, with less patience, if so much is said. */
async function inThread(args: readonly string[], patience?: number) {
  const script = `import { processOutput, runInThread } from ${JSON.stringify(new URL('command.js', MAIN).href)};
const io = { stdout: processOutput(process.stdout), stderr: processOutput(process.stderr), env: process.env };
process.exitCode = await runInThread(new URL(${JSON.stringify(MAIN.href)}), ${JSON.stringify(args)}, io, ${patience});`;
  const child = spawn(process.execPath, [file(script)], {
    env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text) => {
      written[name] += text;
    });
  }
  const [exitCode] = await once(child, 'close');
  return { exitCode, ...written };
}

const boot = (flag: string, path: string, patience?: number) =>
  inThread(['boot', '--memory', '64MiB', '--cpu', 'amd-zen4', flag, path], patience);

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

describe('a module that never hands back ends, is told by its name, and is a file that cannot be used', () => {
  test.each<[string, string, () => string, RegExp, number?]>([
    ['in its own code', '--attack', () => file('for (;;) {}'), /: its own code goes on for 0.5 seconds: /],
    [
      'in code that waits, and would for a year',
      '--attack',
      () => file('await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1));'),
      /: its own code goes on for 0.5 seconds: /,
    ],
    ['in an attack', '--attack', () => attack('for (;;) {}'), /: attack mine goes on for 0.5 seconds: /],
    [
      'in an exit',
      '--hypervisor',
      () => backend('for (;;) {}'),
      // Whichever was seen last.
      /: (?:protectMemory|an exit of its virtual CPUs) goes on for 4 seconds: /,
      // Long enough to load what the module imports.
      4000,
    ],
  ])(
    '%s',
    async (_, flag, make, expected, patience = 500) => {
      const path = make();
      const { exitCode, stdout, stderr } = await boot(flag, path, patience);
      expect(stderr).toMatch(expected);
      expect(stderr).toContain(`heki: ${path}: `);
      expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
    },
    30_000,
  );
});

describe('a module that ends its thread is told by its name', () => {
  test.each([
    [
      'waits for what never comes',
      () => file('await new Promise(() => {});'),
      /: waits for what never comes: /,
    ],
    ['ends the process', () => attack('process.exit(0);'), /: ended the command: expected/],
    [
      'throws where it was not called',
      () => file('setTimeout(() => { throw new Error("late"); });\nawait new Promise(() => {});'),
      /mjs:1:26: threw Error: late$/,
    ],
    [
      'leaves a promise that fails with no error',
      () => file('Promise.reject("x");\nawait new Promise(() => {});'),
      /: threw /,
    ],
  ])('one that %s', async (_, make, expected) => {
    const path = make();
    const { exitCode, stdout, stderr } = await boot('--attack', path);
    expect(stderr).toContain(`heki: ${path}:`);
    expect(stderr.trimEnd()).toMatch(expected);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });
});

test('what a module prints goes to standard error, without what a terminal obeys; its timers do not hold the command', async () => {
  const path = file(
    `console.log('so \\x1b[31m'); console.error('err \\x1b[2J'); setInterval(() => {}, 1000); export { default } from ${JSON.stringify(
      pathToFileURL(projectFile('examples/write-an-attack/src/remap-data.mjs')).href,
    )};`,
  );
  const { exitCode, stdout, stderr } = await inThread([
    'boot',
    '--memory',
    '64MiB',
    '--attack',
    path,
    '--json',
  ]);
  expect(JSON.parse(stdout)).toMatchObject({ steps: [{ step: { how: 'remap-data' } }] });
  expect(exitCode).toBe(0);
  expect(stderr.split('\n').sort()).toEqual(['', 'err \\x1b[2J', 'so \\x1b[31m']);
});

test.each([
  ['claims that the command is done', "parentPort.postMessage({ type: 'done', exitCode: 0 });"],
  ['says what nobody can read', 'parentPort.postMessage(null); parentPort.postMessage({});'],
  ['closes the port of its thread', 'parentPort.close();'],
  ['looks for the port', 'for (const value of Object.values(workerData ?? {})) value.close?.();'],
])(
  'a module that %s changes no answer',
  async (_, code) => {
    const path = file(`import { parentPort, workerData } from 'node:worker_threads';
${code}
export default { name: 'mine', title: 'try', meaning: 'much', run() { throw new Error('found it'); } };`);
    const { exitCode, stderr } = await boot('--attack', path);
    expect(stderr).toContain('found it');
    expect(exitCode).toBe(3);
  },
  30_000,
);

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
