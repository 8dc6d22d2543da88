import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { resolveKernelRoot } from '../root/resolve-kernel-root.ts';
import { openVmcore } from './open-vmcore.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-pipe-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PACKED = fileURLToPath(new URL('../../data/k61-256-nokaslr.elf.gz', import.meta.url));
const PLAIN = join(folder, 'plain.elf');
writeFileSync(PLAIN, gunzipSync(readFileSync(PACKED)));

/** A named pipe that a process of its own writes to, by `command`, which has the pipe as $0 and `file` as $1. */
function pipe(name: string, command: string, file = ''): string {
  const path = join(folder, name);
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
  if (command !== '') spawn('sh', ['-c', command, path, file], { stdio: 'ignore' });
  return path;
}

/** What tells that the dump is whole. */
function kernelOf(path: string): string {
  const core = openVmcore(path);
  try {
    return resolveKernelRoot(core).because;
  } finally {
    core.close();
  }
}

describe('a dump that comes through a named pipe', () => {
  test.each([
    { name: 'plain', file: PLAIN },
    { name: 'packed', file: PACKED },
  ])('is read to its end, $name', ({ name, file }) => {
    expect(kernelOf(pipe(name, 'cat "$1" > "$0"', file))).toBe(kernelOf(file));
  });

  test('may be late, and come in two parts', () => {
    const slow = 'sleep 0.2; { head -c 1000 "$1"; sleep 0.2; tail -c +1001 "$1"; } > "$0"';
    expect(kernelOf(pipe('slow', slow, PACKED))).toBe(kernelOf(PACKED));
  });

  test('is refused as a file would be, when its writer ends too early', () => {
    const path = pipe('cut', 'head -c 5000 "$1" > "$0"', PACKED);
    expect(() => openVmcore(path)).toThrow(/truncated gzip file/);
  });

  test('is given up when no process writes to it', () => {
    // Half a second for each look at the pipe.
    let now = 0;
    vi.spyOn(Date, 'now').mockImplementation(() => (now += 500));
    expect(() => openVmcore(pipe('silent', ''))).toThrow('no process writes to this pipe, for 8 seconds');
    expect(now).toBeGreaterThan(8000);
    expect(now).toBeLessThan(10_000);
    vi.restoreAllMocks();
  });
});

test('a device is neither a file nor a pipe', () => {
  expect(() => openVmcore('/dev/zero')).toThrow('/dev/zero is neither a file nor a pipe');
});
