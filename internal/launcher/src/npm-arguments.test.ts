import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SNAPSHOT = 'packages/vmcore/data/k61-256-nokaslr.elf.gz';
const TEXT = '0xffffffff81000000';

/** The environment without what an npm around these tests has put there. */
const outsideNpm = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-npm-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function runProcess(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...outsideNpm, ...env },
  });
  return { exitCode: status, stdout, stderr };
}

/** `npm ARGS` in the clone, with the npm that is installed. */
const npm = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  runProcess('npm', args, { npm_config_logs_dir: folder, ...env });

describe('npm start with options in front of --', () => {
  test('are refused, and the line that was meant is shown', () => {
    const { exitCode, stderr } = npm([
      'start',
      'translate',
      SNAPSHOT,
      '--access',
      'write',
      '-o',
      'a b',
      '--',
      '--user',
    ]);
    const line = `translate ${SNAPSHOT} --access write -o 'a b' --user`;
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      `heki: npm kept --access -o for itself: it hands over options only behind "--". Write one of\n  npm start -- ${line}\n  ./heki ${line}\n`,
    );
  });

  test("are refused without npm's log, too, by the environment", () => {
    const { exitCode, stderr } = npm(['start', 'protect', '--json', '--no-mbec'], {
      npm_config_logs_max: '0',
    });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('heki: npm kept --no-mbec --json for itself');
  });

  test('may go unseen without both, which is told', () => {
    const { stderr } = npm(['start', 'help', 'explain', '--access', 'write'], { npm_config_logs_max: '0' });
    expect(stderr).toContain('npm wrote no log, so that an option which it kept for itself may go unseen');
  });

  test("are told from settings in the user's .npmrc", () => {
    const userconfig = join(folder, 'npmrc');
    writeFileSync(userconfig, '# mine\njson = true\ncpu=arm64\nforce=true\n');
    const env = { npm_config_userconfig: userconfig, npm_config_logs_max: '0' };
    const { exitCode, stdout } = npm(['start', '--', '--help'], env);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Usage: heki');
  });

  test("may be npm's own", () => {
    const { exitCode, stdout } = npm(['start', '--silent', '--prefix', ROOT, '--', '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^Usage: heki/);
  });
});

/** What npm's log holds when the script starts, up to what is of no use here. */
const LOGS = {
  9: (args: string, words: string) =>
    `0 verbose cli /usr/bin/node /usr/bin/npm\n1 info using npm@9.9.4\n2 timing npm:load:whichnode Completed in 0ms\n23 verbose title npm start ${words}\n24 verbose argv ${args}\n25 timing npm:load:setTitle Completed in 1ms\n`,
  10: (args: string, words: string) =>
    `0 verbose cli /usr/bin/node /usr/bin/npm\n1 info using npm@10.9.9\n9 verbose title npm start ${words}\n10 verbose argv ${args}\n11 verbose logfile logs-max:10 dir:/root/.npm/_logs/\n`,
  11: (args: string, words: string) =>
    `0 verbose cli /usr/bin/node /usr/bin/npm\n1 info using npm@11.21.2\n10 verbose title npm start ${words}\n11 verbose argv ${args}\n12 silly logfile done cleaning log files\n`,
};

describe.each([9, 10, 11] as const)("npm %s's log", (version) => {
  const start = (args: readonly string[], logs: Readonly<Record<string, string>>) => {
    const logsDir = mkdtempSync(join(folder, 'logs-'));
    for (const [time, text] of Object.entries(logs))
      writeFileSync(join(logsDir, `${time}-debug-0.log`), text);
    return runProcess(process.execPath, [join(ROOT, 'internal/launcher/src/start.mjs'), ...args], {
      npm_config_user_agent: `npm/${version}.0.0 node/v20.20.2 linux x64 workspaces/false`,
      npm_lifecycle_event: 'start',
      npm_config_logs_dir: logsDir,
      npm_config_loglevel: 'silent',
    });
  };
  const log = LOGS[version];

  test.each([
    { name: 'a value that npm does not allow', options: ['--access', 'write'], kept: '--access' },
    { name: "the beginning of one of npm's options", options: ['--format', 'json'], kept: '--format' },
    { name: 'a negated option', options: ['--no-mbec'], kept: '--no-mbec' },
    { name: 'an unknown option', options: ['--acess', 'write'], kept: '--acess' },
    {
      name: 'an option among those of npm',
      options: ['--loglevel', 'warn', '--cpu', 'qemu64'],
      kept: '--cpu',
    },
    { name: 'an option before more arguments', options: ['--json', '--', 'a b'], kept: '--json' },
  ])('tells $name', ({ options, kept }) => {
    const words = ['start', 'kunit', ...options].map((word) => JSON.stringify(word)).join(' ');
    const handedOver = options.includes('--') ? ['kunit', 'a b'] : ['kunit'];
    const line = options.join(' ').replace('--loglevel warn ', '').replace(' -- a b', " 'a b'");
    expect(start(handedOver, { '2026-01-01': log(words, handedOver.join(' ')) })).toMatchObject({
      exitCode: 2,
      stderr: `heki: npm kept ${kept} for itself: it hands over options only behind "--". Write one of\n  npm start -- kunit ${line}\n  ./heki kunit ${line}\n`,
    });
  });

  test('is that of this run, not of an earlier one or of another that is under way', () => {
    const own = log('"start" "--" "kunit" "--help"', 'kunit --help');
    const ended = `${log('"start" "kunit" "--json" "--" "--help"', 'kunit --help')}30 verbose exit 0\n`;
    const other = log('"start" "walk" "--json"', 'walk');
    for (const logs of [
      { '2026-01-01': ended, '2026-01-02': own },
      { '2026-01-02': own, '2026-01-03': other },
    ]) {
      expect(start(['kunit', '--help'], logs).exitCode).toBe(0);
    }
  });
});

test('other package managers hand over all', () => {
  const { exitCode, stdout } = runProcess(
    process.execPath,
    [join(ROOT, 'internal/launcher/src/start.mjs'), '--help'],
    {
      npm_config_user_agent: 'pnpm/12.21.0 npm/? node/v20.20.2',
      npm_lifecycle_event: 'start',
      npm_config_json: 'true',
    },
  );
  expect({ exitCode, head: stdout.slice(0, 11) }).toEqual({ exitCode: 0, head: 'Usage: heki' });
});

describe("npm's own failures", () => {
  test('are shown: nothing in the clone makes npm quiet', () => {
    const { exitCode, stderr } = npm(['run', 'no-such-script']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('Missing script');
  });
});

describe('npm start -- ARGS, ./heki ARGS', () => {
  test.each([
    { name: 'an answer', args: ['translate', SNAPSHOT, TEXT, '--access', 'write'], exitCode: 0 },
    { name: 'a wrong call', args: ['translate', SNAPSHOT, TEXT, '--access', 'neither'], exitCode: 2 },
  ])('are the same for $name', ({ args, exitCode }) => {
    const direct = runProcess(join(ROOT, 'heki'), args, {});
    expect(npm(['start', '--silent', '--', ...args])).toEqual(direct);
    expect(direct.exitCode).toBe(exitCode);
  });

  test("npm's own lines before the output are told to who wants JSON", () => {
    const { stdout, stderr } = npm(['start', '--', 'translate', SNAPSHOT, TEXT, '--json']);
    expect(stdout).toMatch(/^\n> heki-workspace/);
    expect(stderr).toContain('./heki and npm start --silent do not');
  });
});
