import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-completion-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The path of the script for `shell`. */
async function script(shell: string): Promise<string> {
  const { exitCode, stdout } = await runCommand(['completion', shell]);
  expect(exitCode).toBe(0);
  const path = join(folder, shell);
  writeFileSync(path, stdout);
  return path;
}

/** What a shell prints. */
function printed(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    cwd: folder,
    timeout: 30_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trimEnd();
}

const has = (shell: string): boolean => spawnSync(shell, ['-c', ':']).status === 0;

/** What is typed, and what completes its last word. */
const TYPED: readonly (readonly [words: readonly string[], completions: readonly string[]])[] = [
  [['heki', 'wal'], ['walk']],
  [['heki', '--vers'], ['--version']],
  [
    ['heki', 'walk', '--format', ''],
    ['info-tlb', 'json', 'table'],
  ],
  [['heki', 'walk', '--format', 'i'], ['info-tlb']],
  [
    ['heki', 'translate', '--cp'],
    ['--cpu', '--cpu-index'],
  ],
  [['heki', 'protect', '--profile', 'r'], ['rfc-v2']],
  [
    ['heki', 'completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
  [['heki', 'help', 'ext'], ['extract']],
  [
    ['heki', 'fleet', 's'],
    ['set-aside', 'setup', 'show', 'status', 'submit'],
  ],
];

describe.skipIf(!has('bash'))('in bash', () => {
  test.each(TYPED)('%j is completed to %j', async (words, completions) => {
    const complete = `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _heki; printf "%s\\n" "\${COMPREPLY[@]}"`;
    const source = `source '${await script('bash')}'`;
    const lines = printed('bash', ['--norc', '-c', `${source}; ${complete}`, 'bash', ...words]);
    expect(lines.split('\n').sort()).toEqual(completions);
  });

  test.each([[['heki', 'walk', 'gu']], [['heki', 'protect', '--memory-map', 'io']]])(
    '%j is left to the names of files',
    async (words) => {
      const complete = `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _heki; echo "\${#COMPREPLY[@]}"; complete -p heki`;
      const source = `source '${await script('bash')}'`;
      expect(printed('bash', ['--norc', '-c', `${source}; ${complete}`, 'bash', ...words])).toBe(
        '0\ncomplete -o default -F _heki heki',
      );
    },
  );
});

describe.skipIf(!has('fish'))('in fish', () => {
  test.each(TYPED)('%j is completed to %j', async (words, completions) => {
    const source = `source '${await script('fish')}'`;
    const lines = printed('fish', ['--no-config', '-c', `${source}; complete -C '${words.join(' ')}'`]).split(
      '\n',
    );
    expect(lines.map((line) => line.split('\t')[0]).sort()).toEqual(completions);
  });
});

describe.skipIf(!has('zsh'))('in zsh', () => {
  /** A zsh at a terminal of its own, where a line is typed, tabs and all; the function heki says what it was called with. */
  const TERMINAL = `
    zmodload zsh/zpty
    zpty terminal zsh -f -i
    zpty -w terminal "autoload -Uz compinit; compinit -u -D; source $1; heki() { print -r -- \\"CAL\\"\\"LED:\\$*:\\" }"
    zpty -w terminal "$2"
    zpty -r -m terminal output '*CALLED:*:*'
    print -r -- \${\${output##*CALLED:}%%:*}
    zpty -d terminal`;

  test.each([
    ['heki wal\t--format inf\t--cpu-\t', 'walk --format info-tlb --cpu-index'],
    ['heki --vers\t', '--version'],
    ['heki completion f\t', 'completion fish'],
  ])('%j is completed to %j', async (typed, completed) => {
    expect(printed('zsh', ['-f', '-c', TERMINAL, 'zsh', await script('zsh'), typed])).toBe(completed);
  });
});

test('a shell that there is no completion for is refused', async () => {
  expect(await runCommand(['completion', 'tcsh'])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('Allowed choices are bash, zsh, fish'),
  });
});
