import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gfn } from '@heki/physical-memory';
import { afterAll, describe, expect, it } from 'vitest';
import { buildCore } from '../testing/build-core.ts';
import { openVmcore } from './open-vmcore.ts';

const folder = mkdtempSync(join(tmpdir(), 'unpack-'));
mkdirSync(join(folder, 'bin'));
symlinkSync('/bin/sh', join(folder, 'bin', 'sh'));
const { TMPDIR } = process.env;
process.env.TMPDIR = folder;
afterAll(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  rmSync(folder, { recursive: true });
});

/** 16 MiB: a page of sevens at the start, one of eights at the end, zeroes between. */
const PAGES = 4096;
const large = new Uint8Array(PAGES * 4096);
large.fill(7, 0, 4096).fill(8, (PAGES - 1) * 4096);
const core = buildCore({ loads: [{ address: 0, bytes: large }] });
const plain = join(folder, 'core');
writeFileSync(plain, core);

describe.each(['zstd', 'xz'])('a dump packed by %s', (program) => {
  const isThere = spawnSync(program, ['--version']).error === undefined;
  const path = join(folder, `core.${program}`);
  const packed = isThere ? execFileSync(program, ['-1', '-c', plain]) : Buffer.alloc(0);

  it.skipIf(!isThere)('is unpacked to a file that has no name when it is read', () => {
    writeFileSync(path, packed);
    const opened = openVmcore(path);
    expect(opened.memory.page(gfn(0))?.[0]).toBe(0x07070707);
    expect(opened.memory.page(gfn(PAGES - 1))?.[1023]).toBe(0x08080808);
    expect(opened.memory.page(gfn(PAGES / 2))?.[5]).toBe(0);
    expect(opened.memory.page(gfn(PAGES))).toBeUndefined();
    opened.close();
    expect(readdirSync(folder).filter((name) => name.startsWith('heki-'))).toEqual([]);
  });

  it.skipIf(!isThere)('is refused when it is damaged, or more than may be', () => {
    writeFileSync(path, packed.subarray(0, 100));
    expect(() => openVmcore(path)).toThrow(`core.${program} cannot be unpacked: `);
    writeFileSync(path, packed);
    expect(() => openVmcore(path, { maxInflatedBytes: 2 ** 20 })).toThrow(
      'unpacks to more than 1048576 bytes',
    );
  });

  it.skipIf(!isThere || program !== 'zstd')(
    'is unpacked behind a skippable frame, as pzstd writes one',
    () => {
      const frame = Buffer.from('5d2a4d180400000001020304', 'hex');
      writeFileSync(path, Buffer.concat([frame, packed]));
      expect(openVmcore(path).memory.page(gfn(0))?.[0]).toBe(0x07070707);
    },
  );

  it('is refused with what to do where there is no such program', () => {
    writeFileSync(path, program === 'xz' ? '\xfd7zXZ\0' : '\x28\xb5\x2f\xfd', 'latin1');
    const { PATH } = process.env;
    // A shell, and nothing else.
    process.env.PATH = join(folder, 'bin');
    try {
      expect(() => openVmcore(path)).toThrow(`there is no program ${program} here: install it`);
    } finally {
      process.env.PATH = PATH;
    }
  });
});
