import { createHash } from 'node:crypto';
import { type Gfn, gfn, PAGE_SIZE } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../byte-source.ts';
import { infoTlbLine } from '../../info-tlb.ts';
import { openVmcore } from '../../node/open-vmcore.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { buildFlattened, buildKdump, type KdumpPage } from '../../testing/build-kdump.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { PACKING_FLAGS, type Packing, packedPages } from '../../testing/packed-pages.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { readVmcore, type Vmcore } from '../../vmcore.ts';

const { tablePages, pages, packed } = packedPages();
const original = openVmcore(fixturePath('stage61-rest_init.elf.gz'));
const frames = original.segments.flatMap(({ start, end }) =>
  Array.from({ length: (end - start) / PAGE_SIZE }, (_, i) => start / PAGE_SIZE + i),
);
/** The notes of the original, as the file has them. */
const notes = (() => {
  const file = new Uint8Array(inflatedFixture('stage61-rest_init.elf.gz'));
  const view = new DataView(file.buffer);
  const at = Number(view.getBigUint64(64 + 8, true));
  return file.subarray(at, at + Number(view.getBigUint64(64 + 32, true)));
})();

function tablesBy(packing: Packing): KdumpPage[] {
  return frames.map((frame, index) => {
    const bytes = packed[packing][index] ?? Buffer.alloc(0);
    // As makedumpfile does: what does not get smaller is kept as it is.
    const packs = bytes.length < PAGE_SIZE;
    return {
      frame,
      bytes: packs ? bytes : (pages[index] ?? bytes),
      flags: packs ? PACKING_FLAGS[packing] : 0,
    };
  });
}

function walked(core: Vmcore): string {
  const { root, levels } = resolveKernelRoot(core);
  return `${walkSlowly(core.memory, root, levels).map(infoTlbLine).join('\n')}\n`;
}

const infoTlb = inflatedFixture('stage61-rest_init.info-tlb.txt.gz').toString();

describe('a kdump', () => {
  it('has as many pages as the dump that its vectors were made of', () => {
    expect(frames.length).toBe(tablePages);
  });

  it.each(['zlib', 'lzo', 'lzo999', 'snappy', 'zstd'] as const)(
    'packed by %s is walked as the guest',
    (packing) => {
      const core = readVmcore(buildKdump({ pages: tablesBy(packing), notes, frames: 65_536 }));
      expect(walked(core)).toBe(infoTlb);
      expect(core.cpus).toEqual(original.cpus);
      expect(core.segments).toEqual(original.segments.map(({ start, end }) => ({ start, end })));
    },
  );

  it('may pack each page in another way', () => {
    const ways = ['zlib', 'lzo', 'snappy', 'zstd'] as const;
    const mixed = frames.flatMap((_, index) => tablesBy(ways[index % 4] ?? 'zlib')[index] ?? []);
    expect(walked(readVmcore(buildKdump({ pages: mixed, notes })))).toBe(infoTlb);
  });

  it('that was flattened is the same, however it was cut into chunks and in which order they came', () => {
    const file = buildKdump({ pages: tablesBy('lzo'), notes });
    const flat = (chunks: Parameters<typeof buildFlattened>[0]) => walked(readVmcore(buildFlattened(chunks)));
    fc.assert(
      fc.property(fc.array(fc.nat(file.length), { maxLength: 8 }), fc.boolean(), (cuts, backwards) => {
        const points = [...new Set([0, ...cuts, file.length])].sort((a, b) => a - b);
        const chunks = points.slice(1).map((end, index) => {
          const offset = points[index] ?? 0;
          return { offset, bytes: file.subarray(offset, end) };
        });
        // Headers are written first as far as they are known, and once more in the end.
        const header = { offset: 0, bytes: new Uint8Array(4096).fill(0x55) };
        expect(flat([header, ...(backwards ? chunks.reverse() : chunks)])).toBe(infoTlb);
      }),
      { numRuns: 20 },
    );
  });

  it('that was split is whole again when all parts are named, in any order', () => {
    const all = { pages: tablesBy('zlib'), notes, frames: 65_536 };
    const middle = frames[Math.floor(frames.length / 2)] ?? 0;
    const [low, high] = [
      { start: 0, end: middle },
      { start: middle, end: 65_536 },
    ].map((part) => bytesSource(buildKdump({ ...all, part })));
    if (low === undefined || high === undefined) throw new Error('two parts');
    for (const parts of [
      [low, high],
      [high, low],
    ]) {
      const core = readVmcore(parts);
      expect(core.warnings).toEqual([]);
      expect(walked(core)).toBe(infoTlb);
      expect(core.segments).toEqual(original.segments.map(({ start, end }) => ({ start, end })));
    }
    const none = buildKdump({ ...all, part: { start: 65_536, end: 65_536 } }).subarray(0, 5 * 4096);
    expect(walked(readVmcore([low, high, bytesSource(none)]))).toBe(infoTlb);
    const alone = readVmcore(high);
    expect(alone.memory.page(gfn(middle))).toEqual(original.memory.page(gfn(middle)));
    expect(alone.memory.page(frames[0] as Gfn)).toBeUndefined();
    expect(alone.warnings[0]?.message).toBe(
      `of a dump that was split, a part is missing: memory from 0x0 to 0x${(middle * PAGE_SIZE).toString(16)} is absent; name all parts`,
    );
    expect(() => readVmcore([low, bytesSource(buildKdump(all))])).toThrow('file 2 is not part of a dump');
  });

  it('that was split is not joined with a part of a dump of another time or machine', () => {
    const parts = [0, 30].map((start) =>
      buildKdump({
        pages: [{ frame: start, bytes: new Uint8Array(4096) }],
        frames: 60,
        part: { start, end: start + 30 },
      }),
    );
    const joined = (change: (view: DataView) => void) => {
      const [low = new Uint8Array(), high = new Uint8Array()] = parts.map((part) => part.slice());
      change(new DataView(high.buffer));
      return () => readVmcore([bytesSource(low), bytesSource(high)]);
    };
    expect(joined(() => {})().warnings).toEqual([]);
    const other = 'file 2 is a part of another dump than the first one';
    expect(joined((view) => view.setUint32(408, 1_700_000_000, true))).toThrow(other);
    expect(joined((view) => view.setUint8(12 + 65, 0x61))).toThrow(other);
    expect(joined((view) => view.setUint8(12 + 4 * 65, 0))).toThrow(other);
  });

  it.each([
    ['other registers', { notes: notes.map((byte, at) => (at === 200 ? byte ^ 1 : byte)) }],
    ['another VMCOREINFO', { notes, vmcoreinfo: 'OSRELEASE=6.2.0\n' }],
    ['no notes', {}],
  ])('that was split is not joined with a part of the same machine and time that has %s', (_, others) => {
    const page = { frame: 0, bytes: new Uint8Array(4096) };
    const low = buildKdump({ pages: [page], frames: 60, notes, part: { start: 0, end: 30 } });
    const high = { pages: [page], frames: 60, part: { start: 30, end: 60 } };
    const joined = (parts: object) => () =>
      readVmcore([bytesSource(low), bytesSource(buildKdump({ ...high, ...parts }))]);
    expect(joined({ notes })().warnings).toEqual([]);
    expect(joined(others)).toThrow('file 2 is a part of another dump than the first one: its notes');
  });

  it.each([
    [0, 30, 0, 30],
    [0, 30, 29, 60],
    [20, 60, 0, 21],
  ])('that was split has each part once: %i to %i and %i to %i are of two dumps', (a, b, c, d) => {
    const part = (start: number, end: number) =>
      bytesSource(
        buildKdump({
          pages: [{ frame: start, bytes: new Uint8Array(4096) }],
          frames: 60,
          part: { start, end },
        }),
      );
    expect(() => readVmcore([part(a, b), part(c, d)])).toThrow(
      `two files have the memory from 0x${(Math.max(a, c) * 4096).toString(16)} on`,
    );
  });

  it('lacks what was filtered out: absent, and not zero', () => {
    const zero = { frame: 5, bytes: new Uint8Array(4096) };
    const { memory, segments } = readVmcore(buildKdump({ pages: [zero, { ...zero, frame: 9 }], frames: 20 }));
    expect(new Uint32Array(memory.page(gfn(5)) ?? [1])).toEqual(new Uint32Array(1024));
    for (const frame of [0, 4, 6, 8, 10, 19, 20, 2 ** 40 - 1])
      expect(memory.page(gfn(frame))).toBeUndefined();
    expect(segments).toEqual([
      { start: 0x5000, end: 0x6000 },
      { start: 0x9000, end: 0xa000 },
    ]);
  });

  it('tells of frames beyond 32 bits by the fields of version 6', () => {
    const page = { frame: 70_000, bytes: new Uint8Array(4096).fill(7) };
    const old = buildKdump({ pages: [page], version: 5 });
    expect(readVmcore(old).memory.page(gfn(70_000))?.[0]).toBe(0x07070707);
    const recent = buildKdump({ pages: [page] });
    new DataView(recent.buffer).setUint32(440, 0, true);
    expect(readVmcore(recent).memory.page(gfn(70_000))?.[0]).toBe(0x07070707);
  });

  it('has VMCOREINFO in its notes or beside them', () => {
    const beside = readVmcore(buildKdump({ vmcoreinfo: 'OSRELEASE=6.1.0\nNUMBER(phys_base)=-4096\n' }));
    expect(beside.vmcoreinfo?.release).toBe('6.1.0');
    expect(beside.vmcoreinfo?.number('phys_base')).toBe(-4096n);
    expect(readVmcore(buildKdump({ notes })).vmcoreinfo?.release).toBe(original.vmcoreinfo?.release);
  });

  it('holds any set of pages, as a bitmap of single bits does', () => {
    const single = fc.uniqueArray(fc.nat(5000), { maxLength: 300 });
    const runs = fc
      .array(fc.tuple(fc.nat(4000), fc.integer({ min: 1, max: 700 })), { maxLength: 5 })
      .map((list) => [
        ...new Set(list.flatMap(([from, n]) => Array.from({ length: n }, (_, i) => from + i))),
      ]);
    fc.assert(
      fc.property(fc.oneof(single, runs), (held) => {
        const set = new Set(held);
        const page = (frame: number) => new Uint8Array(new Uint32Array(1024).fill(frame).buffer);
        const core = readVmcore(
          buildKdump({ pages: held.map((frame) => ({ frame, bytes: page(frame) })), frames: 5001 }),
        );
        const wrong = Array.from({ length: 5001 }, (_, frame) => frame).filter(
          (frame) => core.memory.page(gfn(frame))?.[0] !== (set.has(frame) ? frame : undefined),
        );
        expect(wrong).toEqual([]);
        const told = core.segments.flatMap(({ start, end }) =>
          Array.from({ length: (end - start) / PAGE_SIZE }, (_, i) => start / PAGE_SIZE + i),
        );
        expect(told).toEqual([...held].sort((a, b) => a - b));
      }),
      { numRuns: 20 },
    );
  });
});

describe('a real kdump, cut to its page tables', () => {
  it.each([
    ['of makedumpfile, filtered and packed by zlib', 'kdump-makedumpfile', 0],
    ['of QEMU, flattened', 'kdump-qemu-flattened', 1],
  ])('%s is walked as QEMU walked the guest', (_, name, cpus) => {
    const core = openVmcore(fixturePath(`formats/${name}.gz`));
    expect(core.format).toBe('kdump (zlib)');
    expect(core.cpus.length).toBe(cpus);
    const text = walked(core);
    expect(text.split('\n').length - 1).toBe(10_594);
    expect(createHash('sha256').update(text).digest('hex')).toBe(
      'a6abcec94a527f40274d8d3204dffced817eff6f8936850cb283b87d3135e4f0',
    );
  });
});

/** A dump of the pages 1, 2 and 3, each filled with its number. */
function threePages() {
  const filled = [1, 2, 3].map((frame) => ({ frame, bytes: new Uint8Array(PAGE_SIZE).fill(frame) }));
  const whole = buildKdump({ pages: filled, notes });
  const data = whole.length - 3 * PAGE_SIZE;
  return {
    whole,
    /** The first word of a page of `file`. */
    first: (frame: number, file: Uint8Array<ArrayBuffer>) => readVmcore(file).memory.page(gfn(frame))?.[0],
    /** Where the descriptor of page `frame` is; of page 4, where the first page is. */
    descriptorOf: (frame: number) => data - (4 - frame) * 24,
  };
}

describe('a kdump that is damaged', () => {
  const whole = buildKdump({ pages: tablesBy('zlib'), notes });

  it('is refused where it is wrong', () => {
    const damaged = (change: (view: DataView) => void) => {
      const bytes = whole.slice();
      change(new DataView(bytes.buffer));
      return () => readVmcore(bytes);
    };
    expect(damaged((view) => view.setUint32(428, 65_536, true))).toThrow(
      'block_size is 65536: expected 4096',
    );
    expect(damaged((view) => view.setUint32(436, 0, true))).toThrow('bitmap_blocks is 0, but the dump is of');
    expect(damaged((view) => view.setUint32(436, 2 ** 32 - 1, true))).toThrow('expected at most 1073741824');
    expect(damaged((view) => view.setUint32(432, 2 ** 32 - 1, true))).toThrow('truncated');
    expect(damaged((view) => view.setBigUint64(4096 + 96, 2n ** 63n, true))).toThrow('max_mapnr_64');
    expect(damaged((view) => view.setBigUint64(4096 + 56, 2n ** 40n, true))).toThrow('bytes of notes');
    expect(() => readVmcore(buildKdump({ machine: 'aarch64' }))).toThrow('a kdump of a machine "aarch64"');
    expect(() => readVmcore(whole.subarray(0, 500))).toThrow('truncated');
  });

  it('gives an error for a page that cannot be unpacked, and not an absent one', () => {
    const at = (frame: number, flags: number, bytes: Uint8Array) => () =>
      readVmcore(buildKdump({ pages: [{ frame, bytes, flags }] })).memory.page(gfn(frame));
    const [zlib] = packed.zlib;
    const broken = Uint8Array.from(zlib ?? []);
    broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
    expect(at(3, 1, broken)).toThrow('damaged zlib data: its checksum is wrong (at file offset 0x');
    for (const flags of [1, 2, 4, 32]) expect(at(3, flags, new Uint8Array(50).fill(200))).toThrow('damaged');
    expect(at(3, 0, new Uint8Array(4095))).toThrow('a page of 4095 bytes: expected 4096');
    expect(at(3, 3, new Uint8Array(10))).toThrow('expected one way of packing it');
    expect(at(3, 0, new Uint8Array(8193))).toThrow('a page of 8193 bytes: expected at most 8192');
  });

  it('lacks pages that were not written before makedumpfile ended, and says so', () => {
    const { whole, first, descriptorOf } = threePages();
    const unfinished = whole.slice();
    new DataView(unfinished.buffer).setBigUint64(descriptorOf(3), 0n, true);
    expect([1, 2, 3].map((frame) => first(frame, unfinished))).toEqual([0x0101_0101, 0x0202_0202, undefined]);
    expect(readVmcore(unfinished).warnings.map(({ id }) => id)).toEqual(['truncated']);
    expect(first(3, whole.slice(0, descriptorOf(3) + 8))).toBeUndefined();
  });

  it('has no absent page where a descriptor leads nowhere: that is an error', () => {
    const { whole, first, descriptorOf } = threePages();
    expect([1, 2, 3].map((frame) => first(frame, whole))).toEqual([0x0101_0101, 0x0202_0202, 0x0303_0303]);
    for (const place of [0n, 2n ** 40n, BigInt(descriptorOf(1)) - 1n]) {
      const damaged = whole.slice();
      new DataView(damaged.buffer).setBigUint64(descriptorOf(1), place, true);
      expect(() => first(1, damaged)).toThrow(
        `a page of 4096 bytes at 0x${place.toString(16)}: expected them between`,
      );
      expect(first(3, damaged)).toBe(0x0303_0303);
    }
  });

  it('in whose bitmap a bit was gained is refused, and one in which a bit was lost is doubted: pages would be taken for others', () => {
    const { whole, first, descriptorOf } = threePages();
    const withBits = (bits: number) => {
      const damaged = whole.slice();
      damaged[descriptorOf(1) - 4096] = bits;
      return damaged;
    };
    expect(readVmcore(withBits(0b1110)).warnings).toEqual([]);
    expect(() => readVmcore(withBits(0b1111))).toThrow('it has more pages than the dump');
    const lost = withBits(0b1100);
    // Its descriptors are taken for those of the pages behind.
    expect(first(2, lost)).toBe(0x0101_0101);
    expect(readVmcore(lost).warnings.map(({ id }) => id)).toEqual(['bitmap-contradicted']);
  });

  it('that was flattened and lost a chunk has no page of zeros instead, and no other page', () => {
    const { whole, descriptorOf } = threePages();
    const chunks = (lost: number, end: number) =>
      buildFlattened(
        [
          { offset: 0, bytes: whole.subarray(0, lost) },
          { offset: end, bytes: whole.subarray(end) },
        ].filter(({ bytes }) => bytes.length > 0),
      );
    const data = descriptorOf(4);
    const lacksPage = readVmcore(chunks(data + PAGE_SIZE + 1, data + PAGE_SIZE + 2)).memory;
    expect([lacksPage.page(gfn(1))?.[0], lacksPage.page(gfn(3))?.[0]]).toEqual([0x0101_0101, 0x0303_0303]);
    expect(() => lacksPage.page(gfn(2))).toThrow('a page that no chunk of the flattened dump has');
    const bitmap = descriptorOf(1) - 4096;
    expect(() => readVmcore(chunks(bitmap, bitmap + 8))).toThrow(
      'a bitmap that no chunk of the flattened dump has whole',
    );
    const lacksDescriptor = readVmcore(chunks(descriptorOf(2), descriptorOf(3))).memory;
    expect(() => lacksDescriptor.page(gfn(2))).toThrow('a page of 0 bytes at 0x0');
  });

  it('that was cut short lacks its last pages, and says so', () => {
    const last = gfn(frames.at(-1) ?? 0);
    const cut = readVmcore(whole.subarray(0, whole.length - 10));
    expect(cut.memory.page(last)).toBeUndefined();
    expect(cut.memory.page(gfn(frames[0] ?? 0))).toEqual(original.memory.page(gfn(frames[0] ?? 0)));
    expect(cut.warnings.map(({ id }) => id)).toEqual(['truncated']);
    // All pages of zeros are one in the file, and the first of them is not its end.
    const filled = (frame: number, byte: number) => ({ frame, bytes: new Uint8Array(PAGE_SIZE).fill(byte) });
    const zeros = Array.from({ length: 5000 }, (_, index) => ({ ...filled(10 + index, 0), like: 5 }));
    const shared = buildKdump({ pages: [filled(5, 0), filled(6, 7), ...zeros] });
    expect(readVmcore(shared).warnings).toEqual([]);
    expect(readVmcore(shared).memory.page(gfn(5009))?.[0]).toBe(0);
    expect(readVmcore(shared.subarray(0, -1)).warnings.map(({ id }) => id)).toEqual(['truncated']);
    expect(readVmcore(shared.subarray(0, -1)).memory.page(gfn(6))).toBeUndefined();
    const unfinished = readVmcore(buildKdump({ pages: tablesBy('zlib'), notes, status: 9 }));
    expect(unfinished.warnings[0]?.message).toContain('makedumpfile did not finish this dump');
    const flat = buildFlattened([{ offset: 0, bytes: whole }], true);
    expect(readVmcore(flat).warnings[0]?.message).toContain('the flattened dump has no end');
    expect(walked(readVmcore(flat))).toBe(infoTlb);
  });
});
