import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fixturePath } from './testing/run-command.ts';

/** The built command: `npm test` builds it before the tests run. */
const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** Runs the command as a process; with `chunks`, its output is closed after so many. */
async function runProcess(args: readonly string[], chunks = Number.POSITIVE_INFINITY) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  let seen = 0;
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
    if (++seen >= chunks) child.stdout.destroy();
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [exitCode] = await once(child, 'close');
  return { exitCode, stdout, stderr };
}

describe('the command as a process', () => {
  test('writes a large output to a pipe to its end', async () => {
    const { exitCode, stdout, stderr } = await runProcess([
      'walk',
      fixturePath('k61-2g-allmods'),
      '--format',
      'json',
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(JSON.parse(stdout).leaves).toHaveLength(35330);
  });

  test('is quiet when its reader goes away, as head does', async () => {
    const { exitCode, stdout, stderr } = await runProcess(
      ['walk', fixturePath('k61-2g-allmods'), '--format', 'json'],
      1,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).not.toContain('\n]\n');
  });

  test('hands its exit code to the shell', async () => {
    expect((await runProcess(['--help'])).exitCode).toBe(0);
    expect((await runProcess(['walk', '/nowhere'])).exitCode).toBe(3);
    expect((await runProcess(['no-such-command'])).exitCode).toBe(2);
  });

  test('finds the kernel that comes with it', async () => {
    const { exitCode, stdout } = await runProcess(['protect', '--json']);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ snapshot: 'k61-256-nokaslr.elf.gz', pages: { 'r-x': 4389 } });
  });
});
