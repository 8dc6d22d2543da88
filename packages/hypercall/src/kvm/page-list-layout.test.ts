import { type Gpa, gpa, type VirtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HypercallError } from './error.ts';
import {
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  PAGE_LIST_MAX_ENTRIES,
  PageListEntryWord,
  PageListHeaderWord,
  pageListEntryWord,
  wordsToBigInt,
  wordsToNumber,
  writePageListCount,
  writePageListEntry,
  writePageListEntryEnd,
  writePageListHeader,
} from './page-list-layout.ts';

describe('page list layout', () => {
  it('fills 4,080 of 4,096 bytes with 169 entries', () => {
    expect(PAGE_LIST_HEADER_SIZE + PAGE_LIST_MAX_ENTRIES * PAGE_LIST_ENTRY_SIZE).toBe(4080);
    expect(PAGE_LIST_HEADER_SIZE + (PAGE_LIST_MAX_ENTRIES + 1) * PAGE_LIST_ENTRY_SIZE).toBeGreaterThan(4096);
  });

  it('puts every field where the structures of the series have it', () => {
    const page = new Uint32Array(1024);
    writePageListHeader(page, 0xffff_8880_1234_5000n as VirtualAddress, gpa(0xf_edcb_a987_6000), 2);
    writePageListEntry(page, 0, gpa(0x1000), gpa(0x3000), 5);
    writePageListEntry(page, 1, gpa(0xf_ffff_ffff_e000), gpa(0xf_ffff_ffff_f000), 9);
    const hex = Buffer.from(page.buffer, 0, 72).toString('hex');
    expect(hex.match(/.{16}/g)).toEqual([
      '005034128088ffff',
      '006087a9cbed0f00',
      '0200000000000000',
      '0010000000000000',
      '0030000000000000',
      '0500000000000000',
      '00e0ffffffff0f00',
      '00f0ffffffff0f00',
      '0900000000000000',
    ]);
    writePageListEntryEnd(page, 1, (2 ** 52) as Gpa);
    expect(Buffer.from(page.buffer, 56, 8).toString('hex')).toBe('0000000000001000');
  });

  it('overwrites what a recycled page held', () => {
    const page = new Uint32Array(1024).fill(0xffffffff);
    writePageListHeader(page, 0n as VirtualAddress, gpa(0), 1);
    writePageListEntry(page, 0, gpa(0), gpa(0x1000), 3);
    expect([...page.subarray(0, 12)]).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 0x1000, 0, 3, 0]);
    expect(page[12]).toBe(0xffffffff);
  });

  it('reads back any 52-bit address from any entry', () => {
    const address = fc.bigInt({ min: 0n, max: 2n ** 52n - 1n });
    fc.assert(
      fc.property(fc.nat(168), address, address, fc.nat(15), (index, pa, epa, permissions) => {
        const page = new Uint32Array(1024);
        writePageListEntry(page, index, gpa(Number(pa)), gpa(Number(epa)), permissions);
        const word = pageListEntryWord(index);
        expect(wordsToBigInt(page, word + PageListEntryWord.PA)).toBe(pa);
        expect(wordsToBigInt(page, word + PageListEntryWord.EPA)).toBe(epa);
        expect(wordsToNumber(page, word + PageListEntryWord.PERMISSIONS)).toBe(permissions);
        expect(page.filter((value) => value !== 0).length).toBeLessThanOrEqual(5);
      }),
    );
  });

  it('takes the count that the published guest sends after a failed allocation, but no 170th entry', () => {
    const page = new Uint32Array(1024);
    writePageListCount(page, 170);
    expect(wordsToNumber(page, PageListHeaderWord.NPAGES)).toBe(170);
    expect(() => writePageListEntry(page, 168, gpa(0), gpa(0x1000), 1)).not.toThrow();
    expect(() => writePageListEntry(page, 169, gpa(0), gpa(0x1000), 1)).toThrow(HypercallError);
  });

  it('refuses to write an entry that lies outside the page', () => {
    const page = new Uint32Array(1024);
    expect(() => writePageListEntry(page, -1, gpa(0), gpa(0x1000), 1)).toThrow('no page list entry -1');
    expect(() => writePageListEntryEnd(page, 200, gpa(0x1000))).toThrow('no page list entry 200');
  });

  it('lets entries behind the page be looked at in a longer buffer, and reads zero behind the buffer', () => {
    const overread = new Uint32Array(1030);
    overread[pageListEntryWord(169) + 4] = 7;
    expect(pageListEntryWord(169)).toBe(1020);
    expect(wordsToNumber(overread, 1024)).toBe(7);
    expect(wordsToNumber(overread, 1029)).toBe(0);
    expect(wordsToBigInt(overread, 1030)).toBe(0n);
  });

  it('keeps a u64 above 2^53 above every address, though rounded', () => {
    const words = Uint32Array.of(0xffffffff, 0xffffffff);
    expect(wordsToBigInt(words, 0)).toBe(2n ** 64n - 1n);
    expect(wordsToNumber(words, 0)).toBeGreaterThan(2 ** 63);
  });
});
