import { virtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type KernelSymbol, symbolTableOf } from './symbol-table.ts';

const TEXT = 0xffff_ffff_8100_0000n;
const symbol = (name: string, address: bigint, type = 'T'): KernelSymbol => ({
  name,
  address: virtualAddress(address),
  type,
});

const some = fc.array(
  fc
    .tuple(fc.constantFrom('a', 'b', 'aa', 'ba', 'ab', 'Ta', 'T'), fc.nat(40), fc.boolean())
    .map(([name, at, percpu]) => symbol(name, percpu ? BigInt(at) : TEXT + BigInt(at))),
  { maxLength: 30 },
);

describe('a table of symbols', () => {
  test('finds by name what a look at each finds', () => {
    fc.assert(
      fc.property(some, fc.constantFrom('a', 'b', 'aa', 'ba', 'T', 'Ta', 'x', ''), (symbols, name) => {
        const found = symbolTableOf(symbols).named(name);
        expect(found).toEqual(symbols.filter((one) => one.name === name));
      }),
    );
  });

  test('finds by address the last symbol of the kernel at or before it, and of several there the first', () => {
    fc.assert(
      fc.property(some, fc.nat(50), (symbols, at) => {
        const address = virtualAddress(TEXT + BigInt(at));
        const kernels = symbols.filter((one) => one.address >= TEXT);
        const before = kernels.filter((one) => one.address <= address).map((one) => one.address);
        const nearest = before.toSorted().at(-1) ?? 0n;
        const expected = kernels.find((one) => one.address === nearest);
        const next = kernels
          .map((one) => one.address)
          .filter((one) => one > address)
          .toSorted()
          .at(0);
        expect(symbolTableOf(symbols).at(address)).toEqual(
          expected === undefined
            ? undefined
            : {
                symbol: expected,
                offset: Number(address - nearest),
                size: next === undefined ? undefined : Number(next - nearest),
              },
        );
      }),
    );
  });

  test('is moved without its absolute symbols', () => {
    const table = symbolTableOf([symbol('percpu', 0x1000n, 'A'), symbol('text', TEXT)]).moved(0x20_0000);
    expect([...table].map(({ address }) => address)).toEqual([0x1000n, TEXT + 0x20_0000n]);
  });
});
