import { expect, it } from 'vitest';
import { describeEptEntry } from './describe-entry.ts';

it('an EPT entry is described by its level, what it refers to, its memory type and the bits that mean something there', () => {
  expect(describeEptEntry(4, { low: 0x10_2f07, high: 0 })).toBe(
    '0x0000000000102f07 EPT PML4E, table at 0x102000, R W X A XU',
  );
  expect(describeEptEntry(2, { low: 0x1a0_04b7, high: 0x8000_0000 })).toBe(
    '0x8000000001a004b7 EPT PDE, 2 MiB page at 0x1a00000, WB, R W X LARGE XU SVE',
  );
  expect(describeEptEntry(1, { low: 0x5_0381, high: 0x0600_0010 })).toBe(
    '0x0600001000050381 EPT PTE, 4 KiB page at 0x1000050000, UC, R A D VGP PWA',
  );
  expect(describeEptEntry(1, { low: 0x11, high: 0 })).toMatch('reserved memory type');
  expect(describeEptEntry(3, { low: 0x30, high: 0x8000_0000 })).toBe(
    '0x8000000000000030 EPT PDPTE, not present',
  );
});
