import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HekiError } from '@heki/physical-memory';
import { afterAll, describe, expect, test } from 'vitest';
import { exitCodeOfFailure, InputError } from './failure.ts';
import { failureOf, fileErrorText } from './file-error.ts';
import { fixturePath, runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-failure-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

const kernel = fixturePath('k61-256-nokaslr');
const missing = join(scratch, 'missing');
const cut = file('cut.elf.gz', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]));
const scenario = file('wrong.json', '{\n  "steps": [{ "do": "suspend" }, { "do": "nothing" }]\n}\n');
const overlong = join(scratch, 'overlong.elf');
file('overlong.elf', readFileSync(kernel));
file('overlong.json', JSON.stringify({ cmdline: 'x'.repeat(4097) }));
const broken = file('broken.json', '{\n  "iomem": [}\n');

interface Told {
  readonly exitCode: number;
  readonly kind: string;
  readonly place: object;
}

const CASES: readonly [args: readonly string[], told: Told][] = [
  [[], { exitCode: 2, kind: 'usage', place: {} }],
  [['nonsense'], { exitCode: 2, kind: 'usage', place: {} }],
  [['help', 'nonsense'], { exitCode: 2, kind: 'usage', place: {} }],
  [['replay'], { exitCode: 2, kind: 'usage', place: {} }],
  [['protect', '--no-such'], { exitCode: 2, kind: 'usage', place: { option: '--no-such' } }],
  [['boot', '--vcpus', '1.5'], { exitCode: 2, kind: 'usage', place: { option: '--vcpus' } }],
  [['boot', '--memory', '1'], { exitCode: 2, kind: 'usage', place: { option: '--memory' } }],
  [['kunit', '--suite', 'x'], { exitCode: 2, kind: 'usage', place: { option: '--suite' } }],
  [['backends', 'x'], { exitCode: 2, kind: 'usage', place: {} }],
  [['protect', '--cpu', 'x'], { exitCode: 2, kind: 'usage', place: { option: '--cpu' } }],
  [['extract', kernel, '-o', scenario], { exitCode: 1, kind: 'output', place: { file: scenario } }],
  ...['walk', 'protect', 'replay'].map((command): [string[], Told] => [
    [command, missing],
    { exitCode: 3, kind: 'input', place: { file: missing } },
  ]),
  [['translate', missing, '0'], { exitCode: 3, kind: 'input', place: { file: missing } }],
  [['extract', missing, '-o', join(scratch, 'x')], { exitCode: 3, kind: 'input', place: { file: missing } }],
  [['boot', '--kernel', missing], { exitCode: 3, kind: 'input', place: { file: missing } }],
  [['protect', scratch], { exitCode: 3, kind: 'input', place: { file: scratch } }],
  [['walk', overlong], { exitCode: 3, kind: 'input', place: { file: join(scratch, 'overlong.json') } }],
  [['walk', cut], { exitCode: 3, kind: 'input', place: { file: cut } }],
  [['protect', kernel, '--memory-map', broken], { exitCode: 3, kind: 'input', place: { file: broken } }],
  [
    ['boot', '--kernel', broken],
    { exitCode: 3, kind: 'input', place: { file: broken, line: 2, column: 13 } },
  ],
  [
    ['boot', '--scenario', scenario],
    { exitCode: 3, kind: 'input', place: { file: scenario, line: 2, column: 42, step: 'steps.1' } },
  ],
  [
    ['extract', kernel, '-o', join(missing, 'x')],
    { exitCode: 1, kind: 'output', place: { file: join(missing, 'x') } },
  ],
];

describe('a failure', () => {
  test.each(CASES)('of %j is told to people in words', async (args, { exitCode }) => {
    const result = await runCommand(args);
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toMatch(/^heki: .+\n/);
    expect(result.stderr).not.toMatch(/internal error|\n {4}at |ENOENT|EISDIR/);
  });

  test.each(CASES)('of %j is told to programs as JSON', async (args, { exitCode, kind, place }) => {
    const json = args[0] === 'walk' ? ['--format', 'json'] : ['--json'];
    const result = await runCommand([...args, ...json]);
    expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({ exitCode, stderr: '' });
    const { error, tool, schema } = JSON.parse(result.stdout);
    expect(tool.name).toBe('heki');
    expect(schema.name).toBe('error');
    expect(error).toMatchObject({ kind, message: expect.stringMatching(/./) });
    // Where `--json` is not an option, it may itself be what is wrong.
    if (!['nonsense', 'help', 'kunit', undefined].includes(args[0])) expect(error.place).toEqual(place);
  });

  test.each([
    [(long: string) => [long]],
    [(long: string) => ['walk', long]],
    [(long: string) => ['protect', '--cpu', long]],
    [(long: string) => ['boot', `--${long}`]],
  ])('does not repeat a value of 100,000 characters, in words or in JSON (%#)', async (args) => {
    for (const letter of ['a', '\u{1f600}', ' ab']) {
      const long = letter.repeat(100_000 / letter.length);
      for (const json of [[], ['--json']]) {
        const { stdout, stderr } = await runCommand([...args(long), ...json]);
        const told = stdout + stderr;
        expect(told).toContain(' characters) ...');
        expect(told.length).toBeLessThan(40_000);
        expect(Buffer.from(told).toString()).toBe(told);
      }
    }
  });

  test('goes to standard error where standard output is taken by a core', async () => {
    const { stdout, stderr, exitCode } = await runCommand(['extract', missing, '-o', '-', '--json']);
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 3 });
    expect(JSON.parse(stderr).error.kind).toBe('input');
  });

  test('half-way through an object is told on standard error alone', async () => {
    const { run } = await import('./run.ts');
    const said = { stdout: '', stderr: '' };
    let full = false;
    const output = (name: keyof typeof said) => ({
      write: (text: string | Uint8Array) => {
        if (full && name === 'stdout') {
          return Promise.reject(Object.assign(new Error('x'), { code: 'ENOSPC', syscall: 'write' }));
        }
        full = true;
        said[name] += String(text);
        return Promise.resolve();
      },
      isTerminal: false,
      columns: undefined,
    });
    const io = { stdout: output('stdout'), stderr: output('stderr'), env: {} };
    expect(await run(['walk', kernel, '--format', 'json'], io)).toBe(1);
    expect(said.stdout).not.toContain('"error"');
    expect(said.stderr).toBe('heki: the output: no space left on the device\n');
  });

  test('that is a mistake of the program says so', () => {
    const misuse = failureOf(new HekiError('frames below 0'));
    expect(misuse).toMatchObject({ kind: 'internal', message: expect.stringContaining('frames below 0') });
    expect(exitCodeOfFailure(misuse)).toBe(1);
    expect(failureOf(new TypeError('x is undefined')).kind).toBe('internal');
    expect(failureOf('text').kind).toBe('internal');
  });
});

describe('an error of the operating system is told in words', () => {
  test.each([
    ['EMFILE', -24, 'too many open files'],
    ['EACCES', -13, 'permission denied'],
    ['ENOSPC', -28, 'no space left on the device'],
    ['EIO', -5, 'i/o error'],
    ['EISDIR', -21, 'is a directory'],
  ])('%s', (code, errno, words) => {
    const error = Object.assign(new Error(code), { code, errno, syscall: 'open', path: 'a.elf' });
    expect(fileErrorText(error)).toBe(words);
    expect(failureOf(error)).toEqual({
      kind: 'input',
      message: `a.elf: ${words}`,
      place: { file: 'a.elf' },
      unread: true,
    });
  });

  test('a file that may not be read', async (context) => {
    const path = file('secret.elf', 'secret');
    chmodSync(path, 0);
    if (process.getuid?.() === 0) context.skip('root may read everything');
    const { exitCode, stderr } = await runCommand(['walk', path]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: `heki: ${path}: permission denied\n` });
  });

  test('a folder where a file is to be written', async () => {
    const folder = join(scratch, 'folder.elf');
    mkdirSync(folder);
    const { exitCode, stderr } = await runCommand(['extract', kernel, '-o', folder, '--force']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: `heki: ${folder}: is a directory\n` });
  });
});

test('an input error begins with its place', () => {
  const { message } = new InputError('not JSON', { file: 'a.json', line: 3, column: 7 });
  expect(message).toBe('a.json:3:7: not JSON');
});
