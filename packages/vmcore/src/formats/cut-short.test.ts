import { gfn, PAGE_SIZE } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { buildCore, qemuNote } from '../testing/build-core.ts';
import { buildFlattened, buildKdump, type KdumpPage } from '../testing/build-kdump.ts';
import { PACKING_FLAGS, type Packing, packedPages } from '../testing/packed-pages.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';

const { pages, packed } = packedPages();
/** Frames that are held: a run, a single one, one that shares its byte of the bitmap with none. */
const FRAMES = [1, 2, 3, 9, 40];

function packedBy(packing: Packing): KdumpPage[] {
  return FRAMES.map((frame, index) => ({
    frame,
    bytes: packed[packing][index] ?? Buffer.alloc(0),
    flags: PACKING_FLAGS[packing],
  }));
}

function inChunks(file: Uint8Array, size: number): Uint8Array {
  const count = Math.ceil(file.length / size);
  return buildFlattened(
    Array.from({ length: count }, (_, index) => ({
      offset: index * size,
      bytes: file.subarray(index * size, (index + 1) * size),
    })),
  );
}

const elf = buildCore({
  notes: [qemuNote()],
  loads: FRAMES.map((frame, index) => ({
    address: frame * PAGE_SIZE,
    bytes: pages[index] ?? Buffer.alloc(0),
  })),
});
const lime = Buffer.concat(
  FRAMES.flatMap((frame, index) => {
    const header = Buffer.alloc(32);
    header.write('EMiL');
    header.writeUInt32LE(1, 4);
    header.writeBigUInt64LE(BigInt(frame * PAGE_SIZE), 8);
    header.writeBigUInt64LE(BigInt((frame + 1) * PAGE_SIZE - 1), 16);
    return [header, pages[index] ?? Buffer.alloc(0)];
  }),
);
const low = buildKdump({ pages: packedBy('zstd'), part: { start: 0, end: 9 } });
const high = buildKdump({ pages: packedBy('zstd'), part: { start: 9, end: 41 } });

/** Lengths around everything of which a file is made: each 61st, and those at the ends of pages. */
function lengths(file: Uint8Array): number[] {
  const all: number[] = [];
  for (let length = 0; length < file.length; length += 61) all.push(length);
  for (let end = PAGE_SIZE; end < file.length; end += PAGE_SIZE) all.push(end - 1, end, end + 1);
  return [...all, ...[1, 2, 15, 16, 17].map((missing) => file.length - missing)];
}

interface Dump {
  readonly name: string;
  readonly whole: Uint8Array;
  readonly read?: (bytes: Uint8Array) => Vmcore;
}

const DUMPS: readonly Dump[] = [
  { name: 'an ELF core', whole: elf },
  { name: 'an image of LiME', whole: lime },
  ...(['zlib', 'lzo', 'snappy', 'zstd'] as const).map((packing) => ({
    name: `a kdump packed by ${packing}`,
    whole: buildKdump({ pages: packedBy(packing) }),
  })),
  { name: 'a flattened kdump', whole: inChunks(buildKdump({ pages: packedBy('lzo') }), 1000) },
  {
    name: 'the first part of a kdump that was split',
    whole: low,
    read: (bytes) => readVmcore([bytesSource(bytes), bytesSource(high)]),
  },
  {
    name: 'the last part of a kdump that was split',
    whole: high,
    read: (bytes) => readVmcore([bytesSource(low), bytesSource(bytes)]),
  },
];

describe.each(DUMPS)('$name', ({ whole, read = readVmcore }) => {
  it('holds all pages of the guest', () => {
    const core = read(whole);
    expect(core.warnings).toEqual([]);
    for (const [index, frame] of FRAMES.entries())
      expect(Uint32Array.from(core.memory.page(gfn(frame)) ?? [])).toEqual(
        new Uint32Array(Uint8Array.from(pages[index] ?? []).buffer),
      );
  });

  it('cut short anywhere is refused, or holds whole pages of the guest and says that others are absent', () => {
    const all = read(whole);
    for (const length of lengths(whole)) {
      let core: Vmcore;
      try {
        core = read(whole.subarray(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(VmcoreError);
        continue;
      }
      let absent = 0;
      for (const frame of FRAMES) {
        const page = core.memory.page(gfn(frame));
        if (page === undefined) absent++;
        else if (!Uint32Array.from(page).every((word, at) => word === all.memory.page(gfn(frame))?.[at]))
          expect.fail(`frame ${frame} of ${length} bytes differs`);
      }
      if (absent > 0 && core.warnings.length === 0)
        expect.fail(`${absent} pages of ${length} bytes are absent without a word`);
    }
  });
});
