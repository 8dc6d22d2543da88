import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fixturePath, projectFile, runCommand } from './testing/run-command.ts';

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
    expect((await runProcess(['walk', '/nowhere'])).exitCode).toBe(3);
    expect((await runProcess(['no-such-command'])).exitCode).toBe(2);
  });

  test.each([22, 30])('says in a line that only %i files may be open', (limit) => {
    const script = 'ulimit -n "$0"; exec "$@"';
    const args = ['-c', script, String(limit), process.execPath, MAIN, 'protect'];
    const { status, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 3, stderr: expect.stringMatching(/^heki: .*\n$/) });
  });

  test('reads a dump, or the memory map that goes with one, from standard input as -', async () => {
    const path = fixturePath('k61-256-kaslr');
    const dump = readFileSync(path);
    const map = readFileSync(projectFile('fixtures/k61-256-kaslr.json'));
    const run = (args: readonly string[], input: Buffer) =>
      spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', input });
    const piped = run(['walk', '-', '--format', 'info-tlb'], dump);
    const { stdout: lines } = await runCommand(['walk', path, '--format', 'info-tlb']);
    expect({ status: piped.status, lines: piped.stdout }).toEqual({ status: 0, lines });
    const protect = ['protect', path, '--json'];
    const mapped = run([...protect, '--memory-map', '-'], map);
    expect(JSON.parse(mapped.stdout).pages).toEqual(JSON.parse((await runCommand(protect)).stdout).pages);
  });

  test('finds the kernel that comes with it', async () => {
    const { exitCode, stdout } = await runProcess(['protect', '--json']);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ snapshot: 'k61-256-nokaslr.elf.gz', pages: { 'r-x': 4389 } });
  });
});
