import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressOf,
  frameOf,
  gfn,
  gpa,
  hpa,
  pageOffset,
  pfn,
  virtualAddress,
  virtualAddressOf,
  virtualFrame,
  virtualFrameOf,
} from './address.ts';
import { PhysicalMemoryError } from './error.ts';

describe('addresses and frame numbers', () => {
  it('accepts the highest 52-bit address and the highest frame, and nothing above', () => {
    expect(gpa(2 ** 52 - 1)).toBe(2 ** 52 - 1);
    expect(hpa(2 ** 52 - 1)).toBe(2 ** 52 - 1);
    expect(gfn(2 ** 40 - 1)).toBe(2 ** 40 - 1);
    expect(pfn(2 ** 40 - 1)).toBe(2 ** 40 - 1);
    expect(virtualFrame(2 ** 52 - 1)).toBe(2 ** 52 - 1);
    expect(virtualAddress(2n ** 64n - 1n)).toBe(2n ** 64n - 1n);
    expect(() => gpa(2 ** 52)).toThrow(PhysicalMemoryError);
    expect(() => hpa(2 ** 52)).toThrow('0x10000000000000 is not a host-physical address');
    expect(() => gfn(2 ** 40)).toThrow('expected an integer from 0 to 0xffffffffff');
    expect(() => pfn(-1)).toThrow('-0x1 is not a host page frame number');
    expect(() => virtualFrame(2 ** 52)).toThrow('virtual frame number');
    expect(() => virtualAddress(2n ** 64n)).toThrow('0x10000000000000000 is not a virtual address');
    expect(() => virtualAddress(-1n)).toThrow(PhysicalMemoryError);
  });

  it('refuses fractions and what is not a number', () => {
    expect(() => gpa(0.5)).toThrow('0.5 is not a guest-physical address');
    expect(() => gfn(Number.NaN)).toThrow('NaN');
    expect(() => pfn(Number.POSITIVE_INFINITY)).toThrow('Infinity');
  });

  it('takes any physical address apart into frame and offset exactly, beyond 32 bits too', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 52n - 1n }), (value) => {
        const address = gpa(Number(value));
        expect(BigInt(frameOf(address))).toBe(value >> 12n);
        expect(BigInt(pageOffset(address))).toBe(value & 0xfffn);
        expect(addressOf(frameOf(address)) + pageOffset(address)).toBe(address);
      }),
    );
  });

  it('takes any virtual address to its frame exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const frame = virtualFrameOf(virtualAddress(value));
        expect(BigInt(frame)).toBe(value >> 12n);
        expect(virtualAddressOf(frame)).toBe(value & ~0xfffn);
      }),
    );
  });
});
