import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { EntryLow, entryFrame, isLeaf, type Level } from '../entries/entry.ts';
import { tables as arbitraryTables, memoryOf } from '../testing/arbitrary-tables.ts';
import { drawTables, type TablePicture } from '../testing/table-picture.ts';
import { type BitBesideAddresses, findEncryptionBit, hasEncryptedEntry } from './find-encryption-bit.ts';
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

const survey = ({ memory, root }: TablePicture, encryptionBit?: number) =>
  surveyTables({ memory, root, levels: 4, encryptionBit });

/** What is found of a C-bit where 64 frames are memory; `rootBit` is set in CR3. */
const find = ({ memory, root }: TablePicture, rootBit?: number): BitBesideAddresses | undefined =>
  findEncryptionBit({
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
    expect(find(tables)).toEqual({ bit, entries: 9, usual: true });
    expect(find(tables, bit)).toEqual({ bit, entries: 9, usual: true });
    expect(survey(tables, bit).addressBits).toBe(18);
  });

  it('is the same where some pages are shared, which do not have it', () => {
    const tables = draw();
    for (const va of PAGES.slice(1)) setBit(tables, va, [1], 51);
    expect(find(tables)).toEqual({ bit: 51, entries: 3, usual: true });
  });

  it.each([40, 51])('is bit %i or is not, by a single entry of any level', (bit) => {
    for (const level of [1, 2, 3, 4] as const) {
      const tables = draw();
      expect(hasEncryptedEntry({ ...tables, levels: 4 }, bit)).toBe(false);
      setBit(tables, VA, [level], bit);
      expect(hasEncryptedEntry({ ...tables, levels: 4 }, bit)).toBe(true);
      expect(hasEncryptedEntry({ ...tables, levels: 4 }, bit - 1)).toBe(false);
    }
  });

  it('is found by tables alone, or by pages alone', () => {
    const tables = draw();
    for (const level of [2, 3] as const) {
      for (const va of [VA, VA + 0x4000_0000n]) setBit(tables, va, [level], 47);
    }
    expect(find(tables)).toMatchObject({ bit: 47, usual: true });
    const pages = draw();
    for (const va of PAGES) setBit(pages, va, [1], 47);
    expect(find(pages)).toMatchObject({ bit: 47, usual: true });
  });

  it('is not what few entries have', () => {
    const tables = draw();
    setBit(tables, VA, [1], 51);
    expect(find(tables)).toEqual({ bit: 51, entries: 1, usual: false });
    expect(survey(tables).addressBits).toBe(52);
    expect(find(draw())).toBeUndefined();
  });

  it('is not a bit that leads nowhere in memory: devices may lie that high', () => {
    const tables = draw();
    for (const va of PAGES) setBit(tables, va, [1], 46);
    for (const va of PAGES) setBit(tables, va, [1], 45);
    expect(find(tables)).toBeUndefined();
    expect(survey(tables).addressBits).toBe(47);
  });
});

it('sees 1-GiB pages', () => {
  const { memory, root } = drawTables([{ va: VA, leaf: 3, page: 0 }]);
  expect(surveyTables({ memory, root, levels: 4 }).gigabyteLeaves).toBe(true);
  expect(survey(draw()).gigabyteLeaves).toBe(false);
});

test('tables that are not there, or lead to themselves, have an answer', () => {
  const { memory } = draw();
  for (const root of [5000, 2 ** 39 + 5000, 2 ** 40 - 1] as Gfn[]) {
    const tables = { memory, root, levels: 4 } as const;
    expect(surveyTables(tables)).toEqual({ addressBits: 0, gigabyteLeaves: false });
    expect(findEncryptionBit({ ...tables, memoryEnd: 64 as Gfn })).toBeUndefined();
  }
  const looped = draw();
  looped.setEntry(4, VA, BigInt(looped.root * 4096) | 7n);
  expect(survey(looped)).toMatchObject({ addressBits: 13 });
  expect(find(looped)).toBeUndefined();
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
      const bits = Math.max(0, ...frames.map((frame) => 12 + Math.max(1, frame.toString(2).length)));
      expect(surveyTables({ memory, root: 0 as Gfn, levels }).addressBits).toBe(bits);
    }),
  );
});
