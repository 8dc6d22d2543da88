import { gfn, virtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { createAddressSpace, entryBits, X86Error } from './index.ts';

/** What a program without types passes, where only `wanted` may stand. */
const untyped = <Wanted>(value: unknown): Wanted => value as Wanted;

describe('a caller without types gets an error', () => {
  test.each([3, '4', undefined, 4.5])('for %j levels of page tables', (levels) => {
    const options = untyped<Parameters<typeof createAddressSpace>[0]>({ levels });
    expect(() => createAddressSpace(options)).toThrow(X86Error);
    expect(() => createAddressSpace(options)).toThrow('levels of page tables: expected 4 or 5');
  });

  test.each(['W', 'toString', 'FRAME', 7])('for the entry bit %j', (name) => {
    expect(() => entryBits(untyped(name))).toThrow(/^entry bit .+: expected one of P, RW, /);
  });

  test.each(['1', null, undefined, {}, '\u001b[2J'])('for the frame %j', (frame) => {
    expect(() => gfn(untyped(frame))).toThrow(/ is not a guest frame number: expected an integer from 0/);
  });

  test.each([1, '0xffffffff81000000', undefined])('for the virtual address %j', (address) => {
    expect(() => virtualAddress(untyped(address))).toThrow(/ is not a virtual address: expected a bigint/);
  });
});
