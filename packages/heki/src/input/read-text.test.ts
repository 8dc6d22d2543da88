import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { InputError } from '../failure.ts';
import { readText } from './read-text.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-input-'));
afterAll(() => rmSync(folder, { recursive: true }));

const KIND = { name: 'a small text', mostBytes: 200_000 };
const read = (path: string): Promise<string> => readText(path, KIND);

function file(name: string, content: string | Uint8Array = ''): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function pipe(name: string): string {
  const path = join(folder, name);
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
  return path;
}

async function refusal(path: string): Promise<string> {
  const error = await read(path).then(
    () => new Error('it was read'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  return error instanceof InputError ? error.message : '';
}

describe('a text', () => {
  test('is read to its end, plain or gzip, up to its limit', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: KIND.mostBytes }), fc.boolean(), async (length, packed) => {
        const text = 'x'.repeat(length);
        expect(await read(file('any', packed ? gzipSync(text) : text))).toBe(text);
      }),
      {
        numRuns: 20,
        examples: [
          [0, false],
          [1, false],
          [KIND.mostBytes, false],
          [KIND.mostBytes, true],
        ],
      },
    );
  });

  test('of /proc, whose size is said to be 0, is read', async () => {
    expect(await read('/proc/self/status')).toContain('Name:');
  });

  test('comes through a named pipe, also from a writer that is late', async () => {
    const path = pipe('late');
    const writer = spawn('sh', ['-c', 'sleep 0.2; echo first > "$0"', path], { stdio: 'ignore' });
    expect(await read(path)).toBe('first\n');
    writer.kill();
  });

  test('that is too large is refused with its size and its limit, before it is read', async () => {
    const path = file('sparse');
    truncateSync(path, 2 ** 40);
    expect(await refusal(path)).toBe(`${path}: 1024.0 GiB: expected a small text, at most 195.3 KiB`);
  });

  test('without an end is refused at its limit', async () => {
    expect(await refusal('/dev/zero')).toBe(
      '/dev/zero: more than 195.3 KiB: expected a small text, at most 195.3 KiB',
    );
  });

  test('that unpacks to more than its limit is refused, however small the file', async () => {
    const bomb = gzipSync(Buffer.alloc(2 ** 26));
    expect(bomb.length).toBeLessThan(KIND.mostBytes);
    expect(await refusal(file('bomb.gz', bomb))).toContain(
      'bomb.gz: unpacked more than 195.3 KiB: expected a small text, at most 195.3 KiB',
    );
  });

  test('whose gzip is damaged or cut short is refused', async () => {
    const packed = gzipSync('some text that is long enough to be cut');
    expect(await refusal(file('cut.gz', packed.subarray(0, 20)))).toContain(
      'cut.gz: not a valid gzip file (it is cut short)',
    );
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, 12, 20);
    expect(await refusal(file('damaged.gz', damaged))).toContain('damaged.gz: not a valid gzip file (');
  });

  test('that is not one is refused', async () => {
    expect(await refusal(file('binary', Uint8Array.of(0x7f, 0xff, 0xfe)))).toContain(
      'binary: not text in UTF-8: expected a small text',
    );
  });

  test('cannot be read from a folder, or where there is no file', async () => {
    mkdirSync(join(folder, 'folder'));
    await expect(read(join(folder, 'folder'))).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(read(join(folder, 'folder'))).rejects.toMatchObject({ path: join(folder, 'folder') });
    await expect(read(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a pipe that never ends is given up', () => {
  let clock: NodeJS.Timeout;
  /** A clock that goes a hundred times as fast: nobody has to wait as long as the reader does. */
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
    clock = setInterval(() => vi.setSystemTime(Date.now() + 1000), 10);
  });
  afterEach(() => {
    clearInterval(clock);
    vi.useRealTimers();
  });

  test('when no process writes to it', async () => {
    expect(await refusal(pipe('silent'))).toContain('no process writes to this pipe, for 8 seconds');
  });

  test('when its writer says nothing', async () => {
    const path = pipe('held');
    // Both ends, so that opening it does not wait.
    const held = openSync(path, 'r+');
    try {
      expect(await refusal(path)).toContain('nothing comes from it, for 8 seconds');
    } finally {
      closeSync(held);
    }
  });
});

describe('JSON', () => {
  const nested = (open: string, close: string, levels: number): string =>
    `${open.repeat(levels)}1${close.repeat(levels)}`;

  test('may be nested 64 deep', async () => {
    for (const text of [nested('[', ']', 64), nested('{"a":', '}', 64), `["${'['.repeat(99)}\\"["]`]) {
      expect(await read(file('flat.json', text))).toBe(text);
    }
  });

  test.each([
    ['arrays', nested('[', ']', 5000)],
    ['objects', nested('{"a":', '}', 5000)],
    ['both, after a text', `{"text": "\\\\", "b": ${nested('[{"a":', '}]', 50)}}`],
  ])('of %s nested deeper is refused with the place', async (_, text) => {
    expect(await refusal(file('deep.json', text))).toMatch(
      /deep.json: at character \d+, arrays and objects are nested more than 64 deep: expected a small text$/,
    );
  });

  test('of more values than anything needs is refused', async () => {
    const path = file('many.json', `[${'0,'.repeat(200_000)}0]`);
    await expect(readText(path, { name: 'numbers', mostBytes: 2 ** 24 })).rejects.toThrow(
      'it has more than 200,000 values: expected numbers',
    );
  });
});
