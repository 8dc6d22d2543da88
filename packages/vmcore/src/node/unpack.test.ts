import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { gfn } from '@heki/physical-memory';
import { afterAll, describe, expect, it } from 'vitest';
import { buildCore } from '../testing/build-core.ts';
import { openVmcore } from './open-vmcore.ts';

const folder = mkdtempSync(join(tmpdir(), 'unpack-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** 80 MiB, more than is unpacked in memory: a page of sevens at the start, one of eights at the end, zeroes between. */
const PAGES = 20_480;
const large = new Uint8Array(PAGES * 4096);
large.fill(7, 0, 4096).fill(8, (PAGES - 1) * 4096);
const core = buildCore({ loads: [{ address: 0, bytes: large }] });
const plain = join(folder, 'core');
writeFileSync(plain, core);

function expectRead(path: string): void {
  const opened = openVmcore(path);
  expect(opened.memory.page(gfn(0))?.[0]).toBe(0x07070707);
  expect(opened.memory.page(gfn(PAGES - 1))?.[1023]).toBe(0x08080808);
  expect(opened.memory.page(gfn(PAGES / 2))?.[5]).toBe(0);
  expect(opened.memory.page(gfn(PAGES))).toBeUndefined();
  opened.close();
}

describe('a packed dump that is larger than what is unpacked in memory', () => {
  const packed = join(folder, 'core.gz');
  writeFileSync(packed, gzipSync(core, { level: 1 }));

  it('is unpacked to a file that has no name when it is read', () => {
    const before = readdirSync(tmpdir()).filter((name) => /^heki-[0-9a-f]{16}$/.test(name));
    expectRead(packed);
    expect(readdirSync(tmpdir()).filter((name) => /^heki-[0-9a-f]{16}$/.test(name))).toEqual(before);
  });

  it.each(['zstd', 'xz'])('by %s, too, where there is that program', (program) => {
    if (spawnSync(program, ['--version']).error !== undefined) return;
    const path = join(folder, `core.${program}`);
    writeFileSync(path, execFileSync(program, ['-1', '-c', plain], { maxBuffer: 2 ** 28 }));
    expectRead(path);
    writeFileSync(path, execFileSync(program, ['-1', '-c', plain], { maxBuffer: 2 ** 28 }).subarray(0, 100));
    expect(() => openVmcore(path)).toThrow(`is a damaged ${program} file`);
  });

  it('is refused when it is damaged, or more than may be', () => {
    expect(() => openVmcore(packed, { maxUnpackedBytes: 2 ** 26 + 1 })).toThrow(
      'unpacks to more than 67108865',
    );
    const cut = join(folder, 'cut.gz');
    writeFileSync(cut, gzipSync(core, { level: 0 }).subarray(0, 2 ** 24));
    expect(() => openVmcore(cut)).toThrow('is a damaged gzip file: unexpected end of file');
  });

  it('is refused when there is no place to unpack it', () => {
    const kept = process.env.TMPDIR;
    process.env.TMPDIR = join(folder, 'nowhere');
    try {
      expect(() => openVmcore(packed)).toThrow('where no file can be made');
    } finally {
      if (kept === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = kept;
    }
  });
});
