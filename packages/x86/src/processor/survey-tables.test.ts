import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { EntryLow, entryFrame, isLeaf, type Level } from '../entries/entry.ts';
import { tables as arbitraryTables, memoryOf } from '../testing/arbitrary-tables.ts';
import { drawTables, type TablePicture } from '../testing/table-picture.ts';
import { surveyTables } from './survey-tables.ts';

const VA = 0xffff_8123_4567_8000n;
const PAGES = [VA, VA + 0x1000n, VA + 0x2000n, VA + 0x4000_0000n];

/** Tables of four pages, in the 64 frames of the picture's memory. */
function draw(): TablePicture {
  return drawTables(PAGES.map((va, index) => ({ va, leaf: 1 as const, page: 0x2_0000 + index * 0x1000 })));
}

/** Sets a bit in the entries of some levels for a page, the lowest first: those above lead to it. */
function setBit(tables: TablePicture, va: bigint, levels: readonly Level[], bit: number): void {
  for (const level of [...levels].sort()) {
    tables.setEntry(level, va, tables.entry(level, va) | (1n << BigInt(bit)));
  }
}

const survey = ({ memory, root }: TablePicture, rootBit?: number) =>
  surveyTables({
    memory,
    root: (root + (rootBit === undefined ? 0 : 2 ** (rootBit - 12))) as Gfn,
    levels: 4,
    memoryEnd: 64 as Gfn,
  });

describe('the C-bit', () => {
  it.each([40, 43, 47, 51])('is bit %i where tables and pages have it, and CR3 or not', (bit) => {
    const tables = draw();
    for (const va of PAGES) setBit(tables, va, [1], bit);
    for (const va of [VA, VA + 0x4000_0000n]) setBit(tables, va, [2], bit);
    for (const va of [VA, VA + 0x4000_0000n]) setBit(tables, va, [3], bit);
    setBit(tables, VA, [4], bit);
    const found = { encryptionBit: bit, strayBit: undefined, addressBits: 18 };
    expect(survey(tables)).toMatchObject(found);
    expect(survey(tables, bit)).toMatchObject(found);
  });

  it('is the same where some pages are shared, which do not have it', () => {
    const tables = draw();
    for (const va of PAGES.slice(1)) setBit(tables, va, [1], 51);
    expect(survey(tables)).toMatchObject({ encryptionBit: 51, strayBit: undefined });
  });

  it('is found by tables alone, or by pages alone', () => {
    const tables = draw();
    for (const level of [2, 3] as const) {
      for (const va of [VA, VA + 0x4000_0000n]) setBit(tables, va, [level], 47);
    }
    expect(survey(tables).encryptionBit).toBe(47);
    const pages = draw();
    for (const va of PAGES) setBit(pages, va, [1], 47);
    expect(survey(pages).encryptionBit).toBe(47);
  });

  it('is not what few entries have, which is told', () => {
    const tables = draw();
    setBit(tables, VA, [1], 51);
    expect(survey(tables)).toEqual({
      addressBits: 52,
      gigabyteLeaves: false,
      encryptionBit: undefined,
      strayBit: { bit: 51, entries: 1 },
    });
  });

  it('is no bit that leads nowhere in memory: devices may lie that high', () => {
    const tables = draw();
    for (const va of PAGES) setBit(tables, va, [1], 46);
    for (const va of PAGES) setBit(tables, va, [1], 45);
    expect(survey(tables)).toMatchObject({ addressBits: 47, encryptionBit: undefined, strayBit: undefined });
  });
});

it('sees 1-GiB pages', () => {
  const { memory, root } = drawTables([{ va: VA, leaf: 3, page: 0 }]);
  const options = { memory, root, levels: 4 as const, memoryEnd: 64 as Gfn };
  expect(surveyTables(options).gigabyteLeaves).toBe(true);
  expect(survey(draw()).gigabyteLeaves).toBe(false);
});

test('tables that are not there, or lead to themselves, have an answer', () => {
  const { memory, root } = draw();
  const nothing = { addressBits: 0, gigabyteLeaves: false, encryptionBit: undefined, strayBit: undefined };
  const memoryEnd = 64 as Gfn;
  for (const absent of [5000, 2 ** 39 + 5000, 2 ** 40 - 1] as Gfn[]) {
    expect(surveyTables({ memory, root: absent, levels: 4, memoryEnd })).toEqual(nothing);
  }
  const looped = draw();
  looped.setEntry(4, VA, BigInt(root * 4096) | 7n);
  expect(survey(looped)).toMatchObject({ addressBits: 13 });
});

test('counts address bits as a walk of every present entry does, whatever the tables hold', () => {
  fc.assert(
    fc.property(arbitraryTables, fc.constantFrom(4 as const, 5 as const), (entries, levels) => {
      const memory = memoryOf(entries);
      const frames: number[] = [];
      const seen = new Set<string>();
      const walk = (table: Gfn, level: Level): void => {
        const page = memory.page(table);
        if (page === undefined || seen.has(`${table} ${level}`)) return;
        seen.add(`${table} ${level}`);
        for (let word = 0; word < 1024; word += 2) {
          const low = page[word] ?? 0;
          if ((low & EntryLow.P) === 0) continue;
          const frame = entryFrame(low, page[word + 1] ?? 0);
          frames.push(frame);
          if (!isLeaf(low, level)) walk(frame, (level - 1) as Level);
        }
      };
      walk(0 as Gfn, levels);
      // With no memory for pages, and tables where they say, nothing looks encrypted.
      const options = { memory, root: 0 as Gfn, levels, memoryEnd: 0 as Gfn };
      const { addressBits, encryptionBit, strayBit } = surveyTables(options);
      const bits = Math.max(0, ...frames.map((frame) => 12 + Math.max(1, frame.toString(2).length)));
      // Otherwise more tables were looked at.
      if (encryptionBit === undefined && strayBit === undefined) expect(addressBits).toBe(bits);
    }),
  );
});
