import { describe, expect, it } from 'vitest';
import {
  decodeEntry,
  describeEntry,
  ENTRY_BITS,
  EntryHigh,
  EntryLow,
  entryFrame,
  entryIndex,
  isLeaf,
  leafFrame,
} from './entry.ts';

describe('an entry', () => {
  it('has its masks in the half where its bits are', () => {
    expect([EntryLow.PS, EntryHigh.PS]).toEqual([0x80, 0]);
    expect([EntryLow.XD, EntryHigh.XD]).toEqual([0, 0x8000_0000]);
    expect([EntryLow.FRAME, EntryHigh.FRAME]).toEqual([0xffff_f000, 0xf_ffff]);
    expect(EntryHigh.KEY).toBe(0x7800_0000);
  });

  it('is found by nine bits of the address at each level', () => {
    const address = 0xffff_9abc_def0_1234n;
    for (let level = 1; level <= 5; level++) {
      const bits = (address >> BigInt(3 + 9 * level)) & 511n;
      expect(entryIndex(Number(address >> 12n), level)).toBe(Number(bits));
    }
  });

  it('holds a frame of 40 bits', () => {
    expect(entryFrame(0xffff_ffff, 0xffff_ffff)).toBe(2 ** 40 - 1);
    expect(leafFrame(0xffff_ffff, 0xffff_ffff, 2)).toBe(2 ** 40 - 512);
    expect(leafFrame(0x4000_1083, 0, 3)).toBe(0x4_0000);
  });

  it('is a leaf by PS in a PDE or PDPTE, and always as a PTE', () => {
    expect([1, 2, 3, 4, 5].map((level) => isLeaf(EntryLow.PS, level as 1))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect([1, 2, 3].map((level) => isLeaf(0, level as 1))).toEqual([true, false, false]);
  });

  it('is described with the flags that mean something at its level', () => {
    expect(describeEntry(2, 0x01a0_01e3, 0x8000_0000)).toBe(
      '0x8000000001a001e3 PDE, 2 MiB page at 0x1a00000, P RW A D PS G XD',
    );
    expect(describeEntry(2, 0x01a0_1167, 0)).toBe('0x0000000001a01167 PDE, table at 0x1a01000, P RW US A');
    expect(describeEntry(1, 0x0000_9881, 0x1800_0000)).toBe(
      '0x1800000000009881 PTE, 4 KiB page at 0x9000, P R PAT key 3',
    );
    expect(describeEntry(3, 0x4000_1083, 0)).toBe(
      '0x0000000040001083 PDPTE, 1 GiB page at 0x40000000, P RW PS PAT_LARGE',
    );
    expect(describeEntry(4, 0x62, 0)).toBe('0x0000000000000062 PML4E, not present');
  });

  it('comes apart into values', () => {
    expect(decodeEntry(3, 0xc000_0087, 0x1)).toEqual({
      present: true,
      leaf: true,
      frame: 0x1c_0000,
      flags: ['P', 'RW', 'US', 'PS'],
      key: 0,
    });
    expect(decodeEntry(4, 0x5067, 0x7800_0000)).toMatchObject({ leaf: false, frame: 5, key: 0 });
  });

  it('has a source for every bit', () => {
    for (const row of Object.values(ENTRY_BITS)) expect(row.source).toMatch(/^SDM 3A 4/);
  });
});
