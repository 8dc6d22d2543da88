import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createOverlay, type Gfn, gfn, gpa, readBytes } from '@heki/physical-memory';
import { afterAll, describe, expect, it } from 'vitest';
import { VmcoreError } from './error.ts';
import { openVmcore } from './node/open-vmcore.ts';
import { buildCore, type CoreParts, qemuNote } from './testing/build-core.ts';
import { readVmcore } from './vmcore.ts';

const folder = mkdtempSync(join(tmpdir(), 'vmcore-'));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** `length` bytes that tell their place: 1, 2, 3, ... 251, 1, ... */
function counted(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((first + i) % 251));
}

describe('an ELF core', () => {
  const parts: CoreParts = {
    notes: [qemuNote()],
    loads: [
      { address: 0x10_0000_0000, bytes: counted(0x2000) },
      { address: 0, bytes: counted(0x1000, 7) },
      { address: 0xc_0000, bytes: counted(0x1000, 9) },
    ],
  };

  it('holds memory by physical address, wherever it lies in the file', () => {
    for (const gap of [0, 1, 4]) {
      const { memory, segments } = readVmcore(buildCore({ ...parts, gap }));
      expect(segments.map(({ start, end }) => [start, end])).toEqual([
        [0, 0x1000],
        [0xc_0000, 0xc_1000],
        [0x10_0000_0000, 0x10_0000_2000],
      ]);
      const target = new Uint8Array(0x1800);
      expect(readBytes(memory, gpa(0x10_0000_0800), target)).toBe(0x1800);
      expect(target).toEqual(counted(0x2000).subarray(0x800));
      expect(memory.page(gfn(0))?.[0]).toBe(0x0b0a0908);
    }
  });

  it('is absent where no PT_LOAD holds a page', () => {
    const { memory } = readVmcore(buildCore(parts));
    for (const frame of [1, 0xbf, 0xc1, 0xff_ffff, 0x100_0002, 2 ** 40 - 1]) {
      expect(memory.page(gfn(frame))).toBeUndefined();
    }
  });

  it('is absent where a segment has more memory than the file holds of it', () => {
    const { memory } = readVmcore(
      buildCore({ loads: [{ address: 0x1000, bytes: counted(0x1804), memorySize: 0x3000 }] }),
    );
    const second = memory.page(gfn(2));
    expect(second?.[0x800 / 4]).toBe(new DataView(counted(0x1804).buffer).getUint32(0x1800, true));
    expect(second?.[0x804 / 4]).toBe(0);
    expect(memory.page(gfn(3))).toBeUndefined();
  });

  it('tells of the same memory where segments overlap, by the first that has it', () => {
    const { memory, segments } = readVmcore(
      buildCore({
        loads: [
          { address: 0x2800, bytes: counted(0x1000, 100) },
          { address: 0x1000, bytes: counted(0x3000) },
        ],
      }),
    );
    expect(segments.map(({ start, end }) => [start, end])).toEqual([
      [0x1000, 0x2800],
      [0x2800, 0x3800],
      [0x3800, 0x4000],
    ]);
    const target = new Uint8Array(0x3000);
    expect(readBytes(memory, gpa(0x1000), target)).toBe(0x3000);
    expect(target.subarray(0, 0x1800)).toEqual(counted(0x1800));
    expect(target.subarray(0x1800, 0x2800)).toEqual(counted(0x1000, 100));
    expect(target.subarray(0x2800)).toEqual(counted(0x800, 0x2800));
  });

  it('that was cut short lacks its last pages, and says so', () => {
    const whole = buildCore({ loads: [{ address: 0x1000, bytes: counted(0x4000) }] });
    const cut = readVmcore(whole.subarray(0, whole.length - 0x1800));
    expect(cut.memory.page(gfn(2))).toEqual(readVmcore(whole).memory.page(gfn(2)));
    for (const frame of [3, 4]) expect(cut.memory.page(gfn(frame))).toBeUndefined();
    expect(cut.warnings).toEqual([
      {
        id: 'truncated',
        message:
          'the dump was cut short: 0x1800 bytes of memory lie behind the end of the file, and are absent',
      },
    ]);
    expect(readVmcore(whole).warnings).toEqual([]);
  });

  it('joins a page of all the segments that hold parts of it', () => {
    const { memory } = readVmcore(
      buildCore({
        loads: [
          { address: 0x1c00, bytes: counted(0x500, 100) },
          { address: 0x1000, bytes: counted(0x404) },
          { address: 0x2ffc, bytes: counted(8, 50) },
        ],
      }),
    );
    const page = new Uint8Array(4096);
    expect(readBytes(memory, gpa(0x1000), page)).toBe(4096);
    expect(page.subarray(0, 0x404)).toEqual(counted(0x404));
    expect(page.subarray(0x404, 0xc00)).toEqual(new Uint8Array(0x7fc));
    expect(page.subarray(0xc00)).toEqual(counted(0x400, 100));
    expect(memory.page(gfn(2))?.[1023]).toBe(new DataView(counted(8, 50).buffer).getUint32(0, true));
    expect(memory.page(gfn(3))?.[0]).toBe(new DataView(counted(8, 50).buffer).getUint32(4, true));
    expect(memory.page(gfn(4))).toBeUndefined();
  });

  it('cannot be written, but an overlay over it can', () => {
    const { memory } = readVmcore(buildCore(parts));
    expect(() => memory.writablePage(gfn(0))).toThrow('write to an overlay');
    const overlay = createOverlay<Gfn>({ base: memory });
    overlay.writablePage(gfn(0))?.fill(0);
    expect(memory.page(gfn(0))?.[0]).toBe(0x0b0a0908);
    expect(overlay.writablePage(gfn(1))).toBeUndefined();
  });

  it('may count its program headers in section header 0', () => {
    const core = readVmcore(buildCore({ ...parts, extended: true }));
    expect(core.segments.length).toBe(3);
    expect(core.memory.page(gfn(0xc0))?.[0]).toBe(0x0d0c0b0a);
  });

  it('is read the same from a plain file and from a gzip file', () => {
    const bytes = buildCore({ ...parts, gap: 3 });
    const plain = openVmcore(fileOf('plain', bytes));
    const packed = openVmcore(fileOf('packed.gz', gzipSync(bytes)));
    const expected = readVmcore(bytes);
    for (const core of [plain, packed]) {
      expect(core.segments).toEqual(expected.segments);
      expect(core.cpus).toEqual(expected.cpus);
      for (const frame of [0, 1, 0xc0, 0x100_0000, 0x100_0001]) {
        expect(core.memory.page(gfn(frame))).toEqual(expected.memory.page(gfn(frame)));
      }
      core.close();
    }
  });

  it('that is larger than memory is opened at once and read by page', () => {
    const size = 2 ** 42;
    const bytes = buildCore({ loads: [{ address: 0, bytes: counted(0x1000), memorySize: 0x1000 }] });
    new DataView(bytes.buffer).setBigUint64(64 + 56 + 32, BigInt(size), true);
    new DataView(bytes.buffer).setBigUint64(64 + 56 + 40, BigInt(size), true);
    const path = fileOf('large', bytes);
    truncateSync(path, size + 64 + 2 * 56);
    const core = openVmcore(path);
    expect(core.memory.page(gfn(0))?.[0]).toBe(0x04030201);
    expect(core.memory.page(gfn(size / 4096 - 1))?.[1023]).toBe(0);
    expect(core.memory.page(gfn(size / 4096))).toBeUndefined();
    core.close();
  });

  it('keeps a bounded number of pages and reads the others again', () => {
    const frames = 64;
    const bytes = buildCore({ loads: [{ address: 0, bytes: counted(frames * 4096) }] });
    const core = openVmcore(fileOf('cached', bytes), { cachePages: 3 });
    const first = core.memory.page(gfn(0));
    expect(core.memory.page(gfn(0))).toBe(first);
    for (let frame = 1; frame < frames; frame++) core.memory.page(gfn(frame));
    expect(core.memory.page(gfn(0))).not.toBe(first);
    expect(core.memory.page(gfn(0))).toEqual(first);
    core.close();
  });
});

describe('a closed core', () => {
  it('gives the pages that were read, and an error for others', () => {
    const core = openVmcore(fileOf('closed', buildCore({ loads: [{ address: 0, bytes: counted(0x2000) }] })));
    const page = core.memory.page(gfn(0));
    core.close();
    core.close();
    expect(core.memory.page(gfn(0))).toBe(page);
    expect(() => core.memory.page(gfn(1))).toThrow('is closed');
  });

  it('cannot keep no pages, or more than all', () => {
    for (const cachePages of [0, -1, 0.5, Number.NaN, 2 ** 30]) {
      expect(() => readVmcore(buildCore({}), { cachePages })).toThrow('cachePages is');
    }
  });
});

describe('a file that is not a core', () => {
  const opening = (name: string, bytes: Uint8Array, options = {}) => {
    const path = fileOf(name, bytes);
    return () => openVmcore(path, options);
  };

  it('is refused with what it is instead', () => {
    expect(opening('empty', new Uint8Array())).toThrow('the file is empty');
    expect(opening('text', Buffer.from('hello'))).toThrow('no memory dump of any known format');
    expect(opening('dump', Buffer.from('QEVM'))).toThrow('virsh dump --memory-only');
    expect(opening('save', Buffer.from('LibvirtQemudSave'))).toThrow('virsh save');
    expect(opening('disk', Buffer.from('QFI\xfb', 'latin1'))).toThrow('a qcow2 disk image');
    expect(opening('packed', Buffer.from('BZh9'))).toThrow('packed by bzip2: unpack it first');
    expect(() => openVmcore(join(folder, 'none'))).toThrow('cannot be opened');
    expect(() => openVmcore(folder)).toThrow('is a directory');
  });

  it('is refused when gzip cannot inflate it, or not within bounds', () => {
    const packed = gzipSync(buildCore({ loads: [{ address: 0, bytes: counted(0x8000) }] }));
    expect(opening('cut.gz', packed.subarray(0, packed.length - 9))).toThrow('truncated gzip file');
    const bomb = gzipSync(new Uint8Array(2 ** 24));
    expect(opening('bomb.gz', bomb, { maxInflatedBytes: 2 ** 20 })).toThrow('more than 1048576 bytes');
    expect(opening('big.gz', packed, { maxInflatedBytes: 10 })).toThrow('more than 10 bytes');
  });

  it('gives an error, not zeroes, when the file shrinks while it is read', () => {
    const path = fileOf('shrinks', buildCore({ loads: [{ address: 0, bytes: counted(0x4000) }] }));
    const core = openVmcore(path);
    truncateSync(path, 0x2000);
    expect(() => core.memory.page(gfn(3))).toThrow(VmcoreError);
    core.close();
  });
});
