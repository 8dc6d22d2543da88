import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { WORKLOAD_SETTINGS, WORKLOADS, type WorkloadOutcome } from '@heki/scenario';
import stringWidth from 'string-width';
import { afterAll, describe, expect, test } from 'vitest';
import { workloadText } from '../boot/workload-text.ts';
import { protectReport } from '../commands/protect.ts';
import { protectText } from '../protect/protect-text.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';
import { guardedIo } from './guarded-io.ts';
import { type Report, writeReport } from './write-report.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-terminal-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const kernel = fixturePath('k61-256-nokaslr');
// biome-ignore lint/suspicious/noControlCharactersInRegex: sequences that colour begin with one
const COLOUR = /\u001b\[\d+m/g;

/** A kernel's life until a while after it is protected: what comes then changes numbers, and no line. */
function beginningOfLife(): string {
  const [calls] = JSON.parse(
    String(gunzipSync(readFileSync(projectFile('vectors/counters/real-6.1-256m.json.gz')))),
  );
  const protect = calls.findIndex(({ cmd }: { cmd: string }) => cmd === 'protect');
  const path = join(scratch, 'recording.json');
  writeFileSync(path, JSON.stringify([calls.slice(0, protect + 50)]));
  return path;
}

const COMMANDS: readonly (readonly string[])[] = [
  ['audit', fixturePath('k61-256-tampered-text-alias')],
  ['boot', '--memory', '64MiB'],
  ['replay', beginningOfLife(), '--profile', 'rfc-v2'],
  ['walk', kernel],
  ['translate', kernel, 'ffffffff81000000', '--access', 'write'],
  ['explain', 'wx-alias'],
  ['kunit', '--list'],
  ['--help'],
  ...['protect', 'boot', 'backends', 'walk', 'translate', 'replay', 'extract', 'audit', 'kunit'].map(
    (name) => [name, '--help'],
  ),
];

/** The words of a text: what is between spaces, borders of tables and breaks of lines. */
function words(text: string): Set<string> {
  return new Set(text.replace(COLOUR, '').split(/[\s│]+/));
}

/** What `print` prints on terminals of usual widths fits them, and breaks between words. */
async function expectToFit(print: (columns: number) => Promise<string>): Promise<void> {
  const wide = words(await print(500));
  expect(wide.size).toBeGreaterThan(10);
  for (const columns of [60, 80, 120, 200]) {
    const text = await print(columns);
    const lines = text.replace(COLOUR, '').split('\n');
    expect(Math.max(...lines.map((line) => stringWidth(line)))).toBeLessThanOrEqual(columns);
    // A word that is wider than a column of a table may be cut, no other.
    const cut = [...words(text)].filter((word) => !wide.has(word) && /^[a-z]{3,20}$/i.test(word));
    expect({ columns, cut }).toEqual({ columns, cut: [] });
  }
}

/** The same of a report that is made once, as commands write it. */
function expectReportToFit(text: Report['text']): Promise<void> {
  return expectToFit(async (columns) => {
    let printed = '';
    const output = {
      write: (data: string | Uint8Array) => {
        printed += data;
        return Promise.resolve();
      },
      isTerminal: true,
      columns,
    };
    const io = guardedIo([], { stdout: output, stderr: output, env: { LANG: 'C.UTF-8' } });
    await writeReport('protect', { json: () => ({}), text }, {}, io);
    return printed;
  });
}

test.each([{}, { profile: 'rfc-v2', mbec: false }] as const)(
  'protect %j fits every terminal, and breaks between words',
  async (options) => {
    const { report, contents } = await protectReport(kernel, options);
    await expectReportToFit((screen) => protectText(report, contents, screen));
  },
);

test.each(COMMANDS)('%s %s fits every terminal, and breaks between words', (...args) =>
  expectToFit(async (columns) => (await runCommand(args, { terminal: columns })).stdout),
);

// `backends-text.test.ts` has the same of the other command that boots a kernel for each of its cells.
test('boot --workload all fits every terminal, and breaks between words', async () => {
  const outcomes: WorkloadOutcome[] = [
    { verdict: 'works', reason: undefined, writableAndExecutable: 16_286, beyondMappings: 0 },
    { verdict: 'refused', reason: 'load-module: -1: refused', writableAndExecutable: 0, beyondMappings: 0 },
    {
      verdict: 'breaks',
      reason:
        'load-module: the kernel retries a store for ever, for its page tables allow what the hypervisor does not',
      writableAndExecutable: 3,
      beyondMappings: 3,
    },
  ];
  const rows = WORKLOADS.map((workload, row) => ({
    workload,
    outcomes: WORKLOAD_SETTINGS.flatMap((_, column) => outcomes[(row + column) % outcomes.length] ?? []),
  }));
  await expectReportToFit((screen) => workloadText(WORKLOAD_SETTINGS, rows, screen));
});

describe('where the locale is not UTF-8', () => {
  test.each<[env: Record<string, string>, isAscii: boolean]>([
    [{ LC_ALL: 'C' }, true],
    [{ LC_ALL: 'POSIX', LANG: 'de_DE.UTF-8' }, true],
    [{ LC_CTYPE: 'de_DE.ISO-8859-1', LANG: 'C.UTF-8' }, true],
    [{ LC_CTYPE: 'C.utf8', LANG: 'C' }, false],
    [{ LANG: 'C.UTF-8' }, false],
    [{ LC_ALL: '', LC_CTYPE: '', LANG: 'en_US.UTF-8' }, false],
  ])('a text has ASCII alone: %j', async (env, isAscii) => {
    for (const terminal of [80, false]) {
      const { stdout } = await runCommand(['translate', kernel, 'ffffffff81000000'], { env, terminal });
      expect(/^\p{ASCII}+$/u.test(stdout)).toBe(isAscii);
    }
  });

  test.each([80, false])('so has a table with signs in it, on a terminal: %s', async (terminal) => {
    const { stdout } = await runCommand(['protect', kernel], { env: { LC_ALL: 'C' }, terminal });
    expect(stdout).toMatch(/^\p{ASCII}+$/u);
  });
});

describe('the width', () => {
  test('of a pipe is what the contents need, or COLUMNS', async () => {
    const widest = async (env: Record<string, string>): Promise<number> => {
      const { stdout } = await runCommand(['translate', kernel, 'ffffffff81000000'], { env });
      return Math.max(...stdout.split('\n').map((line) => stringWidth(line)));
    };
    expect(await widest({})).toBeGreaterThan(100);
    expect(await widest({ COLUMNS: '70' })).toBeLessThanOrEqual(70);
    expect(await widest({ COLUMNS: 'wide' })).toBeGreaterThan(100);
  });
});

describe('colours', () => {
  test.each<[env: Record<string, string>, terminal: boolean, coloured: boolean]>([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, true, false],
    [{ TERM: 'dumb' }, true, false],
  ])('with %j, on a terminal: %s', async (env, terminal, coloured) => {
    const { stdout } = await runCommand(['translate', kernel, '0'], { env, terminal });
    expect(stdout.includes('\u001b[')).toBe(coloured);
  });
});

/** Runs a command on a pseudo-terminal of 70 columns, and sends it a signal when it has shown a progress bar. */
const PTY = `
import fcntl, os, pty, signal, struct, sys, termios
signal_number, command = int(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    sys.stdin.readline()
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 70, 0, 0))
os.write(terminal, b'\\n')
seen = b''
sent = False
while True:
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    if not sent and b'%' in seen and signal_number:
        # Ctrl-C comes through the terminal, as when somebody types it.
        os.write(terminal, b'\\x03') if signal_number == signal.SIGINT else os.kill(pid, signal_number)
        sent = True
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(seen)
sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
`;
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const hasPython = spawnSync('python3', ['-c', 'import pty, termios']).status === 0;

/** What came, and the exit code as a shell has it. */
async function onPty(signal: number, args: readonly string[]) {
  const child = spawn('python3', ['-c', PTY, String(signal), process.execPath, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', NO_COLOR: '' },
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const [exitCode] = await once(child, 'close');
  return { exitCode, text };
}

describe.runIf(hasPython)('on a pseudo-terminal (needs python3)', () => {
  test('a report is as wide as the terminal', async () => {
    const { exitCode, text } = await onPty(0, ['protect', kernel]);
    expect(exitCode).toBe(0);
    const widths = text
      .replace(COLOUR, '')
      .split(/\r?\n/)
      .map((line) => stringWidth(line));
    expect(Math.max(...widths)).toBeLessThanOrEqual(70);
    expect(Math.max(...widths)).toBeGreaterThan(60);
  }, 60_000);

  test.each([
    ['Ctrl-C', 2, 130],
    ['SIGTERM', 15, 143],
  ])(
    '%s under a progress bar ends the command, and leaves the cursor and line wrap as they were',
    async (_, signal, code) => {
      const { exitCode, text } = await onPty(signal, ['backends']);
      expect(text).toContain('comparing');
      expect(exitCode).toBe(code);
      // Neither the cursor nor line wrap was ever switched off, so that nothing has to be put back.
      for (const off of ['\u001b[?25l', '\u001b[?7l']) expect(text).not.toContain(off);
    },
    60_000,
  );
});
