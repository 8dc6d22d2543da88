import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createProgram } from './run.ts';
import { fixturePath, runCommand } from './testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-run-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A file with `content` in the scratch folder. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

const kernel = fixturePath('k61-256-nokaslr');

describe('help', () => {
  test('goes to standard output with exit code 0, and names every command', async () => {
    const { exitCode, stdout, stderr } = await runCommand(['--help']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    for (const command of ['protect', 'walk', 'translate']) expect(stdout).toContain(`  ${command} `);
  });

  test.each(['protect', 'walk', 'translate'])(
    'of %s shows examples that start with its name',
    async (command) => {
      const { exitCode, stdout } = await runCommand([command, '--help']);
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(new RegExp(`Examples:\\n  heki ${command} `));
    },
  );

  test('--version prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    for (const option of ['--version', '-V']) {
      expect(await runCommand([option])).toMatchObject({ exitCode: 0, stdout: `${version}\n`, stderr: '' });
    }
  });

  test('goes to standard error with exit code 2 when nothing was asked for', async () => {
    const { exitCode, stdout, stderr } = await runCommand([]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain('Usage: heki');
  });
});

test('every command prints JSON for programs, but for those whose output is a program or a help page itself', () => {
  const nowhere = { write: () => Promise.resolve(), isTerminal: false, columns: undefined };
  const { commands } = createProgram({ stdout: nowhere, stderr: nowhere, env: {} }, () => {});
  const all = commands.flatMap((one) => (one.commands.length === 0 ? [one] : one.commands));
  const without = all.filter(({ options }) => !options.some(({ long }) => long === '--json'));
  expect(without.map((command) => command.name())).toEqual(['serve-jobs', 'completion', 'help']);
});

test('walk --json is --format json, and refuses another', async () => {
  const json = await runCommand(['walk', kernel, '--json']);
  const format = await runCommand(['walk', kernel, '--format', 'json']);
  expect([json.exitCode, json.stdout === format.stdout]).toEqual([0, true]);
  const { exitCode, stdout } = await runCommand(['walk', kernel, '--json', '--format', 'table']);
  expect({ exitCode, kind: JSON.parse(stdout).error.kind }).toEqual({ exitCode: 2, kind: 'usage' });
});

describe('a wrong command line', () => {
  test.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['boot', '--vcpus', '1.5'], "argument '1.5' is invalid. Expected a whole number from 1 to 64"],
    [['boot', '--vcpus', '1.5'], '(heki boot --help tells what there is)'],
    [['protect', '--profile', 'soft'], 'Allowed choices are hardened, rfc-v2'],
    [['protect', 'a', 'b'], 'too many arguments'],
    [['protect', '--no-such'], "unknown option '--no-such'"],
    [['protect', '--memory-map'], "option '--memory-map <file>' argument missing"],
    [['replay'], "missing required argument 'RECORDING'"],
    [['walk', kernel, '--format', 'xml'], 'Allowed choices are table, info-tlb, json'],
    [['walk', kernel, '--range', 'ffff8880'], '"ffff8880" is not a range'],
    [['walk', kernel, '--range', '1000-1000'], 'is empty'],
    [['walk', kernel, '--range', '1-2-3'], 'is not a range'],
    [['walk', kernel, '--range', '0-1ffffffffffffffff'], 'is not a virtual address'],
    [['translate'], 'missing VA: expected a virtual address'],
    [['translate', kernel, 'text'], '"text" is not a virtual address'],
    [['translate', kernel, '0x'], '"0x" is not a virtual address'],
    [['translate', kernel, '0', '--access', 'jump'], 'Allowed choices are read, write, fetch'],
  ])('%j is answered with exit code 2 and what is wrong', async (args, message) => {
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});

describe('a file that cannot be used', () => {
  const missing = join(scratch, 'missing');
  test.each([
    [['walk', missing], /missing.*no such file/],
    [['translate', missing, '0'], /missing.*no such file/],
    [['protect', missing], /missing.*no such file/],
    [['protect', scratch], /regular file|directory/],
    [['walk', file('empty', '')], /empty: /],
    [
      ['walk', file('text', 'no dump at all, but a text that is long enough to be looked at')],
      /text: no memory dump/,
    ],
    [['replay', scratch], /is a directory/],
    [['walk', file('cut.gz', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]))], /gzip/],
    [['protect', kernel, '--memory-map', missing], /missing.*no such file/],
    [['protect', kernel, '--memory-map', file('map', 'what is this')], /line 1 of the memory map/],
    [['protect', kernel, '--memory-map', file('map.json', '{"iomem": 5}')], /iomem/],
    [['protect', kernel, '--memory-map', file('none', '00000000-00000fff : Reserved\n')], /no RAM/],
    [['protect', kernel, '--kernel-config', missing], /missing.*no such file/],
    [['protect', kernel, '--kernel-config', file('config', '# nothing\n')], /no kernel configuration/],
    [['protect', kernel, '--kernel-config', scratch], /directory/],
  ])('%j is answered with exit code 3 and what is wrong, without a stack', async (args, message) => {
    const { exitCode, stdout, stderr } = await runCommand(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
    expect(stderr).toMatch(/^heki: .+\n$/);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('internal error');
  });

  test('shows the stack only when HEKI_DEBUG asks for it', async () => {
    const { stderr } = await runCommand(['walk', missing], { env: { HEKI_DEBUG: '1' } });
    expect(stderr).toContain('\n    at ');
  });
});

test('what a file holds reaches the terminal without its control characters', async () => {
  const map = file('escape', 'clear \u001b[2J\u009b the screen\u0007');
  const { stderr } = await runCommand(['protect', kernel, '--memory-map', map]);
  expect(stderr).toContain('clear');
  expect(stderr).not.toMatch(/[^\P{Cc}\n]/u);
});

test('an output that cannot be written is told of, with exit code 1', async () => {
  const { run } = await import('./run.ts');
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
  let said = '';
  const stdout = { write: () => Promise.reject(full), isTerminal: false, columns: undefined };
  const stderr = {
    write: (text: string) => {
      said += text;
      return Promise.resolve();
    },
    isTerminal: false,
    columns: undefined,
  };
  for (const args of [['translate', kernel, '0'], ['--help']]) {
    said = '';
    expect(await run(args, { stdout, stderr, env: {} })).toBe(1);
    expect(said).toBe('heki: the output: no space left on the device\n');
  }
});

test('a reader that goes away ends the work without a word', async () => {
  const { run } = await import('./run.ts');
  const { OutputClosed } = await import('./io.ts');
  let said = '';
  const closed = { write: () => Promise.reject(new OutputClosed()), isTerminal: false, columns: undefined };
  const errors = {
    write: (text: string) => {
      said += text;
      return Promise.resolve();
    },
    isTerminal: false,
    columns: undefined,
  };
  for (const args of [['walk', kernel], ['protect'], ['translate', kernel, '0'], ['--help']]) {
    expect(await run(args, { stdout: closed, stderr: errors, env: {} })).toBe(0);
  }
  expect(said).toBe('');
});
