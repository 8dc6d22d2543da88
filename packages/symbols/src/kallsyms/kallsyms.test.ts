import { PAGE_SIZE, virtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOfSigned } from '../signed-address.ts';
import { buildKallsyms, KALLSYMS_LAYOUTS, type PlainSymbol } from '../testing/build-kallsyms.ts';
import { flatMemory } from '../testing/flat-memory.ts';
import { findKallsyms } from './find-kallsyms.ts';
import { readKallsyms } from './read-kallsyms.ts';

/** Where the tables lie: above the text that they name. */
const START = -(2 ** 31) + 0x200_0000;
const start = addressOfSigned(START);

const name = fc.string({
  unit: fc.constantFrom(...'abcdefghiklmnoprstuvwxyz_.0123456789'),
  minLength: 1,
  maxLength: 30,
});
/** As kernels have them: variables of CPUs, then text and data, several at one address. */
const symbols = fc
  .tuple(
    fc.array(fc.tuple(name, fc.nat(0x3_0000)), { maxLength: 30 }),
    fc.array(fc.tuple(fc.constantFrom(...'tTdDbBrRwW'), name, fc.nat(0x4000)), {
      minLength: 600,
      maxLength: 900,
    }),
  )
  .map(([percpu, image]): PlainSymbol[] => {
    let address = -(2 ** 31) + 0x100_0000;
    return [
      ...percpu
        .map(([text, at]) => ({ text: `A${text}`, address: at }))
        .sort((a, b) => a.address - b.address),
      ...image.map(([type, text, step]) => {
        address += step < 0x400 ? 0 : step;
        return { text: `${type}${text}`, address };
      }),
    ];
  });

function expected(plain: readonly PlainSymbol[]) {
  return plain.map(({ text, address }) => ({
    name: text.slice(1),
    type: text.charAt(0),
    address: addressOfSigned(address),
  }));
}

/** The pages of `bytes` that are anything but zeros. */
const heldPages = (bytes: Uint8Array): number[] =>
  Array.from({ length: Math.ceil(bytes.length / PAGE_SIZE) }, (_, page) => page).filter((page) =>
    bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE).some((byte) => byte !== 0),
  );

describe.each(KALLSYMS_LAYOUTS)('kallsyms as Linux lays it, %s,', (layout) => {
  const absolutes = layout === 'from 7.0' ? [true] : [true, false];
  test.each(absolutes)(
    'gives every symbol back, by its place and by its structure (absolute per-CPU: %s)',
    (absolutePercpu) => {
      fc.assert(
        fc.property(fc.noShrink(symbols), fc.uint8Array({ maxLength: 4000 }), (all, before) => {
          const plain =
            absolutePercpu && layout !== 'from 7.0' ? all : all.filter(({ address }) => address < 0);
          const { bytes, at } = buildKallsyms(plain, layout, START, { absolutePercpu, before });
          const memory = flatMemory(bytes, start);
          const place = (offset: number) => virtualAddress(start + BigInt(offset));
          const named = {
            names: place(at.names),
            countAt: place(at.count),
            tokenTable: place(at.tokenTable),
            tokenIndex: place(at.tokenIndex),
            offsets: place(at.offsets),
            relativeBase: layout === 'from 7.0' ? undefined : place(at.relativeBase),
          };
          const table = readKallsyms(memory, named);
          expect(table).not.toBeTypeOf('string');
          expect(typeof table === 'string' ? table : [...table]).toEqual(expected(plain));
          const { countAt: _, ...same } = named;
          const found = { ...same, count: plain.length };
          expect(findKallsyms(bytes, start)).toEqual(found);
          expect(findKallsyms(bytes, start, heldPages(bytes))).toEqual(found);
        }),
        { numRuns: 6 },
      );
    },
  );

  test('is read or refused in words, whatever bytes of it were overwritten', () => {
    const plain = fc.sample(symbols, { numRuns: 1, seed: 7 })[0]?.filter(({ address }) => address < 0) ?? [];
    const { bytes, at } = buildKallsyms(plain, layout, START);
    const anywhere = fc.oneof(
      fc.nat(bytes.length - 1),
      ...Object.values(at).map((from) => fc.nat(15).map((more) => from + more)),
    );
    const edit = fc.tuple(anywhere, fc.oneof(fc.constantFrom(0, 0x7f, 0x80, 0xff), fc.nat(255)));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 12 }), (edits) => {
        const hostile = bytes.slice();
        for (const [offset, value] of edits) hostile[offset] = value;
        const place = findKallsyms(hostile, start);
        if (place === undefined) return;
        const table = readKallsyms(flatMemory(hostile, start), place);
        if (typeof table === 'string') return;
        for (const symbol of table) expect(symbol.name).toMatch(/^[!-~]*$/);
      }),
      { numRuns: 60 },
    );
  });
});

describe('kallsyms', () => {
  const plain: PlainSymbol[] = Array.from({ length: 700 }, (_, index) => ({
    text: `T${'long_'.repeat(index % 40)}${index}`,
    address: -(2 ** 31) + 0x100_0000 + 16 * index,
  }));

  test('has names of more than 127 tokens', () => {
    const { bytes } = buildKallsyms(plain, 'from 6.4', START);
    const place = findKallsyms(bytes, start);
    const table = place === undefined ? 'not found' : readKallsyms(flatMemory(bytes, start), place);
    expect(typeof table === 'string' ? table : [...table]).toEqual(expected(plain));
  });

  test('has no letter that a terminal would obey', () => {
    const { bytes, at } = buildKallsyms(plain, 'from 6.4', START);
    const letter = bytes.indexOf(0x6c, at.tokenTable);
    bytes[letter] = 0x1b;
    const place = findKallsyms(bytes, start);
    const table = place === undefined ? 'not found' : readKallsyms(flatMemory(bytes, start), place);
    expect(typeof table === 'string' ? table : table.symbol(1).name).toBe('\\x1bong_1');
  });

  test('that is not held, or says that it has more symbols than a kernel, is told so', () => {
    const { bytes } = buildKallsyms(plain, 'from 6.4', START);
    const place = findKallsyms(bytes, start);
    if (place === undefined) throw new Error('not found');
    const memory = flatMemory(bytes, start);
    expect(readKallsyms(flatMemory(new Uint8Array(0), start), place)).toBe('is not in the dump');
    expect(readKallsyms(memory, { ...place, count: 2 ** 22 })).toContain('would have 4194304 symbols');
    expect(readKallsyms(memory, { ...place, relativeBase: place.names })).toMatch(/base|ascend/);
    expect(readKallsyms(memory, { ...place, tokenTable: place.names })).toContain(
      'in no order that Linux has',
    );
    expect(readKallsyms(memory, { ...place, tokenIndex: place.names })).toContain('damaged table of tokens');
  });

  test('is not found in other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 20_000 }), (bytes) => {
        expect(findKallsyms(bytes, start)).toBeUndefined();
      }),
      { numRuns: 30 },
    );
    expect(findKallsyms(new Uint8Array(2 ** 20), start)).toBeUndefined();
  });
});
