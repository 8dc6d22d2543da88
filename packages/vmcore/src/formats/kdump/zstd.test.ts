import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmcoreError } from '../../error.ts';
import { packedPages } from '../../testing/packed-pages.ts';
import { decompressZstd } from './zstd.ts';

const { pages, packed } = packedPages();

function unpacked(frame: Uint8Array): Uint8Array {
  const target = new Uint8Array(4096);
  decompressZstd(frame, target);
  return target;
}

interface Block {
  readonly size: number;
  readonly byte: number;
}

/** A frame of blocks that are one byte repeated. `window` is a Window_Descriptor: 8 is 2 KiB. */
function frameOf(blocks: readonly Block[], window = 8): Uint8Array {
  const bytes = blocks.flatMap(({ size, byte }, index) => {
    const header = size * 8 + 2 + Number(index === blocks.length - 1);
    return [header % 256, (header >> 8) % 256, header >> 16, byte];
  });
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, window, ...bytes);
}

describe('Zstandard', () => {
  it('gives what libzstd packed', () => {
    for (const [index, page] of pages.entries()) {
      expect(Buffer.compare(unpacked(packed.zstd[index] ?? Buffer.alloc(0)), page)).toBe(0);
    }
  });

  it('that gives fewer or more bytes is refused, and never filled up with zeros', () => {
    const block = fc.record({ size: fc.integer({ min: 1, max: 2048 }), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 5 }), fc.boolean(), (some, isWhole) => {
        const size = some.reduce((sum, each) => sum + each.size, 0);
        const missing = 4096 - size;
        const blocks = isWhole && missing > 0 ? [...some, { size: missing % 2048, byte: 7 }] : some;
        const bytes = blocks.flatMap((each) => Array<number>(each.size).fill(each.byte));
        if (bytes.length === 4096) expect(unpacked(frameOf(blocks))).toEqual(Uint8Array.from(bytes));
        else expect(() => unpacked(frameOf(blocks))).toThrow('damaged zstd data');
      }),
      { numRuns: 60 },
    );
  });

  it('that is cut anywhere, or has anything behind it, is refused', () => {
    for (const frame of packed.zstd.slice(0, 3)) {
      for (let length = 0; length < frame.length; length++)
        expect(() => unpacked(frame.subarray(0, length))).toThrow(VmcoreError);
      expect(() => unpacked(Buffer.concat([frame, Buffer.alloc(1)]))).toThrow('its frame ends at');
      expect(() => unpacked(Buffer.concat([frame, frame]))).toThrow('its frame ends at');
    }
  });

  it('that asks for much memory, or for much work on it, is refused', () => {
    const page = [
      { size: 2048, byte: 1 },
      { size: 2048, byte: 2 },
    ];
    expect(unpacked(frameOf(page, 13 * 8)).subarray(2047, 2049)).toEqual(Uint8Array.of(1, 2));
    expect(() => unpacked(frameOf(page, 14 * 8))).toThrow('more than a page');
    const single = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 3, 0, 0);
    expect(() => unpacked(single)).toThrow('more than a page');
    const many = Array.from({ length: 128 }, () => ({ size: 32, byte: 0 }));
    expect(() => unpacked(frameOf(many))).toThrow('more than 64 blocks');
  });
});
