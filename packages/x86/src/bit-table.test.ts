import { describe, expect, it } from 'vitest';
import { bitMasks, bitNames, bitTableMarkdown, describeBits, wordMasks } from './bit-table.ts';
import { ENTRY_BITS } from './entries/entry.ts';
import { PAGE_RIGHTS_BITS } from './entries/page-rights.ts';
import { CR0_BITS, CR3_BITS, CR4, CR4_BITS, EFER_BITS, RFLAGS_BITS } from './registers/control-registers.ts';
import { describePageFaultCode, PAGE_FAULT_BITS } from './translate/page-fault.ts';

const TABLE = {
  LOW: { bit: 1, meaning: 'first', source: 'here' },
  FIELD: { bit: 30, width: 4, meaning: 'over both words', source: 'there' },
  TOP: { bit: 63, meaning: 'last', source: 'here' },
} as const;

describe('a bit table', () => {
  it('gives masks of the whole and of each word', () => {
    expect(bitMasks(TABLE)).toEqual({ LOW: 2n, FIELD: 0x3_c000_0000n, TOP: 1n << 63n });
    expect(wordMasks(TABLE)).toEqual({ LOW: 2, FIELD: 0xc000_0000, TOP: 0 });
    expect(wordMasks(TABLE, 1)).toEqual({ LOW: 0, FIELD: 3, TOP: 0x8000_0000 });
  });

  it('names the single bits of a value', () => {
    expect(bitNames(TABLE, (1n << 63n) | 2n | (15n << 30n))).toEqual(['LOW', 'TOP']);
    expect(describeBits(CR0_BITS, 0x8001_0031n)).toBe('0x80010031 (PE ET NE WP PG)');
    expect(describeBits(CR0_BITS, 0n)).toBe('0x0');
    expect(describePageFaultCode(0x13)).toBe('0x13 (P W ID)');
    expect(describePageFaultCode(0)).toBe('0x0');
  });

  it('becomes a table for people', () => {
    expect(bitTableMarkdown(TABLE)).toBe(
      [
        '| bit | name | meaning | source |',
        '|---|---|---|---|',
        '| 1 | LOW | first | here |',
        '| 33:30 | FIELD | over both words | there |',
        '| 63 | TOP | last | here |',
      ].join('\n'),
    );
  });

  it('states no bit twice, but for those whose meaning depends on the entry', () => {
    const twice = (table: Readonly<Record<string, { bit: number; width?: number }>>) => {
      const single = Object.values(table).filter(({ width }) => width === undefined);
      return single.map(({ bit }) => bit).filter((bit, i, all) => all.indexOf(bit) !== i);
    };
    const tables = [CR0_BITS, CR3_BITS, CR4_BITS, EFER_BITS, RFLAGS_BITS, PAGE_FAULT_BITS, PAGE_RIGHTS_BITS];
    expect(tables.flatMap(twice)).toEqual([]);
    expect(twice(ENTRY_BITS)).toEqual([7]);
  });

  it('holds the bits that Linux pins in CR4', () => {
    expect(CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE | CR4.CET).toBe(0xb1_0800n);
  });
});
