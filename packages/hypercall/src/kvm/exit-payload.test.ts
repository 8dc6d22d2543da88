import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HypercallError } from './error.ts';
import {
  decodeHekiExit,
  decodeHypercallExit,
  decodeMemoryFaultExit,
  encodeHekiExit,
  encodeHypercallExit,
  encodeMemoryFaultExit,
} from './exit-payload.ts';

describe('exit payloads', () => {
  it('put reason and value first and clear what is reserved', () => {
    const bytes = encodeHekiExit({ reason: 2n, value: 0x10_0800n });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      `0200000000000000${'0008100000000000'}${'00'.repeat(48)}`,
    );
  });

  it('of a memory fault are flags, address and size', () => {
    const bytes = encodeMemoryFaultExit({ flags: 8n, gpa: 0x1_2345_6000n, size: 0x1000n });
    expect(Buffer.from(bytes).toString('hex')).toBe('080000000000000000604523010000000010000000000000');
  });

  it('of a hypercall are number, six arguments, room for the answer, and flags', () => {
    const bytes = encodeHypercallExit({ number: 14n, arguments: [0x20_0000n, 1n], flags: 1n });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      `0e00000000000000${'0000200000000000'}${'0100000000000000'}${'00'.repeat(40)}0100000000000000`,
    );
    expect(decodeHypercallExit(bytes)).toEqual({
      number: 14n,
      arguments: [0x20_0000n, 1n, 0n, 0n, 0n, 0n],
      flags: 1n,
    });
  });

  it('come back as they were, from the middle of a kvm_run page too', () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(u64, u64, u64, (a, b, c) => {
        const page = new Uint8Array(4096);
        page.set(encodeHekiExit({ reason: a, value: b }), 32);
        expect(decodeHekiExit(page.subarray(32))).toEqual({ reason: a, value: b });
        page.set(encodeMemoryFaultExit({ flags: a, gpa: b, size: c }), 32);
        expect(decodeMemoryFaultExit(page.subarray(32))).toEqual({ flags: a, gpa: b, size: c });
      }),
    );
  });

  it('cannot be read from too few bytes', () => {
    expect(() => decodeHekiExit(new Uint8Array(63))).toThrow(HypercallError);
    expect(() => decodeHypercallExit(new Uint8Array(71))).toThrow('at least 72');
    expect(() => decodeMemoryFaultExit(new Uint8Array(23))).toThrow('at least 24');
  });
});
