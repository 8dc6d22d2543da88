import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { gunzipSource } from './gunzip.ts';

const { TMPDIR } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'gunzip-'));
beforeAll(() => {
  process.env.TMPDIR = folder;
});
afterAll(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  rmSync(folder, { recursive: true });
});

const inflate = (packed: Uint8Array, limit = 2 ** 36) => gunzipSource('a.gz', bytesSource(packed), limit);

/** All bytes of what is inflated. */
function contents(packed: Uint8Array): Buffer {
  const source = inflate(packed);
  const bytes = Buffer.alloc(source.size);
  source.read(0, bytes);
  source.close();
  return bytes;
}

/** `length` bytes that do not pack. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync('/dev/urandom', 'r');
  readSync(file, bytes);
  closeSync(file);
  return bytes;
}

describe('what gzip packed', () => {
  it('comes out as it went in, of one member or several', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat(40_000).map((length) => noise(length)),
      fc.nat(300_000).map((length) => Buffer.alloc(length, 7)),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const packed = Buffer.concat(parts.map((one) => gzipSync(one)));
        expect(contents(packed).equals(Buffer.concat(parts))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('goes to a file without a name where it is large, and zeros come back from its holes, also at its end', () => {
    const large = Buffer.alloc(80 * 2 ** 20);
    for (const at of [5, 30_000_000, 70_000_000]) noise(100_000).copy(large, at);
    const source = inflate(gzipSync(large, { level: 1 }));
    expect(readdirSync(folder)).toEqual([]);
    expect(source.words(0, 1)).toBeUndefined();
    const bytes = Buffer.alloc(source.size);
    source.read(0, bytes);
    expect(bytes.equals(large)).toBe(true);
    expect(() => source.read(large.length - 1, new Uint8Array(2))).toThrow('truncated');
    source.close();
    expect(() => source.read(0, new Uint8Array(1))).toThrow('is closed');
  });

  it('is refused where there is no place for that file', () => {
    process.env.TMPDIR = join(folder, 'none');
    const large = gzipSync(Buffer.alloc(80 * 2 ** 20), { level: 1 });
    expect(() => inflate(large)).toThrow(/^a.gz: no temporary file in .*none \(TMPDIR\): ENOENT/);
    process.env.TMPDIR = folder;
  });

  it('is refused where it is cut short or damaged', () => {
    const packed = gzipSync(noise(100_000));
    fc.assert(
      fc.property(fc.integer({ min: 2, max: packed.length - 1 }), (length) => {
        expect(() => inflate(packed.subarray(0, length))).toThrow(
          'a.gz is a truncated gzip file: it ends at 0x',
        );
      }),
      { numRuns: 40 },
    );
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, 50_000, 50_010);
    expect(() => inflate(damaged)).toThrow(VmcoreError);
    expect(() => inflate(damaged)).toThrow('a.gz is a damaged gzip file: ');
  });

  it('is refused where it is more than may come out', () => {
    expect(inflate(gzipSync(Buffer.alloc(1000)), 1000).size).toBe(1000);
    expect(() => inflate(gzipSync(Buffer.alloc(1001)), 1000)).toThrow('a.gz unpacks to more than 1000 bytes');
  });
});
