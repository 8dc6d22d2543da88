import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmcoreError } from '../../error.ts';
import { packedPages } from '../../testing/packed-pages.ts';
import { decompressLzo1x } from './lzo1x.ts';

const { pages, packed } = packedPages();

function unpacked(stream: Uint8Array, length = 4096): Uint8Array {
  const target = new Uint8Array(length);
  decompressLzo1x(stream, target);
  return target;
}

describe('LZO1X', () => {
  it.each(['lzo', 'lzo999'] as const)('gives what liblzo2 packed (%s)', (packing) => {
    for (const [index, page] of pages.entries()) {
      expect(Buffer.compare(unpacked(packed[packing][index] ?? Buffer.alloc(0)), page)).toBe(0);
    }
  });

  it('of literals alone is what they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 238 }), (bytes) => {
        expect(unpacked(Uint8Array.of(bytes.length + 17, ...bytes, 0x11, 0, 0), bytes.length)).toEqual(bytes);
      }),
    );
  });

  it('copies from far behind, by an instruction that has three bits of the length and one of the distance', () => {
    const literals = Uint8Array.from({ length: 3 + 15 + 255 * 130 + 7 }, (_, at) => (at * 31) % 253);
    const head = [0, ...new Array<number>(130).fill(0), 7, ...literals];
    for (const [bit, far] of [
      [0, 0x4000],
      [8, 0x8000],
    ] as const) {
      const from = literals.length - far - 5;
      const tail = [0x10 | bit | 3, 5 << 2, 0, 0x11, 0, 0];
      const page = unpacked(Uint8Array.from([...head, ...tail]), literals.length + 5);
      expect(page.subarray(literals.length)).toEqual(literals.subarray(from, from + 5));
      const longer = [0x10 | bit, 2, 5 << 2, 0, 0x11, 0, 0];
      const copied = unpacked(Uint8Array.from([...head, ...longer]), literals.length + 11);
      expect(copied.subarray(literals.length)).toEqual(literals.subarray(from, from + 11));
    }
  });

  it('that is cut, goes on, or was altered is refused or fills the page, and nothing else happens', () => {
    const stream = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(
          fc.nat(pages.length - 1),
          fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { maxLength: 4 }),
          fc.nat(4000),
        )
        .map(([which, changes, length]) => {
          const bytes = Uint8Array.from(packed.lzo[which] ?? []);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          return bytes.subarray(0, Math.max(1, length));
        }),
    );
    fc.assert(
      fc.property(stream, (bytes) => {
        try {
          unpacked(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(VmcoreError);
        }
      }),
      { numRuns: 2000 },
    );
    const whole = packed.lzo[0] ?? Buffer.alloc(0);
    expect(() => unpacked(whole.subarray(0, whole.length - 1))).toThrow('it ends');
    expect(() => unpacked(Buffer.concat([whole, Buffer.of(0)]))).toThrow('goes on behind its end');
    expect(() => unpacked(whole, 4095)).toThrow('more than 4095 bytes');
    expect(() => unpacked(whole, 4097)).toThrow('4096 bytes: expected 4097');
  });
});
