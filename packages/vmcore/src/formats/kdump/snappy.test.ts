import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmcoreError } from '../../error.ts';
import { packedPages } from '../../testing/packed-pages.ts';
import { decompressSnappy } from './snappy.ts';

const { pages, packed } = packedPages();

function unpacked(block: Uint8Array, length = 4096): Uint8Array {
  const target = new Uint8Array(length);
  decompressSnappy(block, target);
  return target;
}

describe('Snappy', () => {
  it('gives what the library of Google packed', () => {
    for (const [index, page] of pages.entries()) {
      expect(Buffer.compare(unpacked(packed.snappy[index] ?? Buffer.alloc(0)), page)).toBe(0);
    }
  });

  it('of literals alone is what they are, with their number in the tag or behind it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 127 }), (bytes) => {
        const { length } = bytes;
        const tags = length <= 60 ? [(length - 1) * 4] : [60 * 4, length - 1];
        expect(unpacked(Uint8Array.of(length, ...tags, ...bytes), length)).toEqual(bytes);
      }),
    );
    const twoBytes = Uint8Array.of(200, 1, 61 * 4, 199, 0, ...new Uint8Array(200).fill(7));
    expect(unpacked(twoBytes, 200)).toEqual(new Uint8Array(200).fill(7));
  });

  it('copies what lies before, by a distance of one, two or four bytes, also over itself', () => {
    const literal = [3 * 4, 1, 2, 3, 4];
    const repeated = Uint8Array.of(1, 2, 3, 4, 3, 4, 3, 4, 3);
    for (const copy of [
      [1 + 4 * 1, 2],
      [2 + 4 * 4, 2, 0],
      [3 + 4 * 4, 2, 0, 0, 0],
    ]) {
      expect(unpacked(Uint8Array.of(9, ...literal, ...copy), 9)).toEqual(repeated);
    }
  });

  it('that is cut anywhere is refused, and never taken for zeros', () => {
    for (const block of packed.snappy) {
      for (let length = 0; length < block.length; length += 1 + (block.length >> 4)) {
        expect(() => unpacked(block.subarray(0, length))).toThrow(VmcoreError);
      }
    }
  });

  it('that was altered is refused or fills the page, and nothing else happens', () => {
    const changes = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(pages.length - 1), changes, (which, all) => {
        const bytes = Uint8Array.from(packed.snappy[which] ?? []);
        for (const [at, value] of all) bytes[at % bytes.length] = value;
        try {
          unpacked(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(VmcoreError);
        }
      }),
      { numRuns: 1000 },
    );
    const whole = packed.snappy[0] ?? Buffer.alloc(0);
    expect(() => unpacked(Buffer.concat([whole, Buffer.of(0, 1)]))).toThrow('more than 4096 bytes');
    expect(() => unpacked(whole, 4095)).toThrow('it says 4096 bytes: expected 4095');
    expect(() => unpacked(Uint8Array.of(4, 0, 9, 1, 0), 4)).toThrow('what is before its start');
    expect(() => unpacked(new Uint8Array(6).fill(255))).toThrow('a length without an end');
  });
});
