import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Gfn, gfn, gpa, PAGE_SIZE } from './address.ts';
import { readBytes, readU32, readU64, writeBytes, writeU32, writeU64 } from './physical-memory.ts';
import { createRam } from './ram.ts';
import { ByteMemory } from './testing/byte-memory.ts';

const HIGH = 2 ** 51;

describe('reads and writes', () => {
  const ram = () =>
    createRam<Gfn>({
      ranges: [
        { start: gfn(1), end: gfn(3) },
        { start: gfn(HIGH / PAGE_SIZE), end: gfn(HIGH / PAGE_SIZE + 1) },
      ],
    });

  it('stores words and 64-bit values little-endian, above 4 GiB too', () => {
    const memory = ram();
    expect(writeU64(memory, gpa(HIGH + 8), { low: 0x89abcdef, high: 0x01234567 })).toBe(true);
    expect(readU64(memory, gpa(HIGH + 8))).toEqual({ low: 0x89abcdef, high: 0x01234567 });
    expect(readU32(memory, gpa(HIGH + 12))).toBe(0x01234567);
    const bytes = new Uint8Array(8);
    expect(readBytes(memory, gpa(HIGH + 8), bytes)).toBe(8);
    expect([...bytes]).toEqual([0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]);
    expect(writeU32(memory, gpa(HIGH + 8), 0xffffffff)).toBe(true);
    expect(readU64(memory, gpa(HIGH + 8))).toEqual({ low: 0xffffffff, high: 0x01234567 });
  });

  it('tells an absent page from a page of zeroes', () => {
    const memory = ram();
    expect(readU32(memory, gpa(0x1000))).toBe(0);
    expect(readU64(memory, gpa(0x2ff8))).toEqual({ low: 0, high: 0 });
    expect(readU32(memory, gpa(0x3000))).toBeUndefined();
    expect(readU64(memory, gpa(0))).toBeUndefined();
    expect(writeU32(memory, gpa(0x3000), 1)).toBe(false);
    expect(writeU64(memory, gpa(0), { low: 1, high: 1 })).toBe(false);
  });

  it('copies bytes over page boundaries and stops at an absent page, as byte-by-byte memory does', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            write: fc.boolean(),
            address: fc.integer({ min: 0, max: 4 * PAGE_SIZE }),
            bytes: fc.uint8Array({ maxLength: 2 * PAGE_SIZE + 2, size: 'max' }),
          }),
          { maxLength: 8 },
        ),
        (accesses) => {
          const memory = ram();
          const model = new ByteMemory();
          model.addPage(1);
          model.addPage(2);
          for (const { write, address, bytes } of accesses) {
            if (write) {
              expect(writeBytes(memory, gpa(address), bytes)).toBe(model.write(address, [...bytes]));
            } else {
              const target = new Uint8Array(bytes.length);
              const done = readBytes(memory, gpa(address), target);
              expect([...target.subarray(0, done)]).toEqual(model.read(address, bytes.length));
            }
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
