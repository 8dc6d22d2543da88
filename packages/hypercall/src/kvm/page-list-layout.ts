import type { Gpa, VirtualAddress } from '@heki/physical-memory';
import { HypercallError } from './error.ts';

/**
 * The bytes of one page of a page list (Heki v2 11/19): `struct heki_page_list`, a header of 24 bytes, then
 * `npages` times `struct heki_pages`, 24 bytes each. All fields are little-endian u64.
 *
 * ```
 *   0 next     virtual address of the next page in the guest; the host must not use it
 *   8 next_pa  guest-physical address of the next page, 0 at the end of the list
 *  16 npages   number of entries (while a page is being filled, the index of its last entry)
 *  24 pages[0] pa, epa (exclusive), permissions
 *  48 pages[1] ...
 * ```
 *
 * The accessors here work on the 32-bit words of a page, or of a longer buffer: KVM of the series copies `npages`
 * entries whatever `npages` says, and must be able to look at all of them (B-H2).
 */

/** Bytes of the header, `struct heki_page_list`. */
export const PAGE_LIST_HEADER_SIZE = 24;
/** Bytes of one entry, `struct heki_pages`. */
export const PAGE_LIST_ENTRY_SIZE = 24;
/** Entries that a page holds: (4096 - 24) / 24. */
export const PAGE_LIST_MAX_ENTRIES = 169;

/** Words of a page list page: a `Uint32Array`, a `PageView`, or anything else that gives unsigned 32-bit words. */
export interface Words {
  readonly length: number;
  readonly [word: number]: number;
}

/** Word indices of the header's fields: each is a low half, followed by its high half. */
export const PageListHeaderWord = { NEXT: 0, NEXT_PA: 2, NPAGES: 4 } as const;

/** Word indices of an entry's fields, from {@link pageListEntryWord} on. */
export const PageListEntryWord = { PA: 0, EPA: 2, PERMISSIONS: 4 } as const;

/** The word index at which entry `index` begins. */
export function pageListEntryWord(index: number): number {
  return 6 + 6 * index;
}

const TWO_TO_32 = 2 ** 32;

/**
 * The u64 whose low half is word `word`, as a number: exact up to 2^53, rounded above (so still above every
 * address). Words outside read 0.
 */
export function wordsToNumber(words: Words, word: number): number {
  return (words[word + 1] ?? 0) * TWO_TO_32 + (words[word] ?? 0);
}

/** The u64 whose low half is word `word`. Words outside read 0. */
export function wordsToBigInt(words: Words, word: number): bigint {
  return (BigInt(words[word + 1] ?? 0) << 32n) + BigInt(words[word] ?? 0);
}

/** Writes a page's header. `nextPa` 0 ends the list. */
export function writePageListHeader(
  page: Uint32Array,
  next: VirtualAddress,
  nextPa: Gpa,
  npages: number,
): void {
  page[0] = Number(next % 0x1_0000_0000n);
  page[1] = Number(next / 0x1_0000_0000n);
  page[2] = nextPa;
  page[3] = nextPa / TWO_TO_32;
  writePageListCount(page, npages);
}

/** Sets a header's `npages`, 0 .. 2^53 - 1. */
export function writePageListCount(page: Uint32Array, npages: number): void {
  page[4] = npages;
  page[5] = npages / TWO_TO_32;
}

/**
 * Writes entry `index`: the addresses `pa` .. `epa` - 1 get `permissions` (0 .. 2^32 - 1, MEM_ATTR bits).
 *
 * @throws {HypercallError} when the page has no entry `index`
 */
export function writePageListEntry(
  page: Uint32Array,
  index: number,
  pa: Gpa,
  epa: Gpa,
  permissions: number,
): void {
  const word = checkedEntryWord(page, index);
  // A store into a Uint32Array keeps the value modulo 2^32, exactly, so it takes the low half by itself.
  page[word] = pa;
  page[word + 1] = pa / TWO_TO_32;
  page[word + 2] = epa;
  page[word + 3] = epa / TWO_TO_32;
  page[word + 4] = permissions;
  page[word + 5] = 0;
}

/**
 * Moves the exclusive end of entry `index` to `epa`.
 *
 * @throws {HypercallError} when the page has no entry `index`
 */
export function writePageListEntryEnd(page: Uint32Array, index: number, epa: Gpa): void {
  const word = checkedEntryWord(page, index);
  page[word + 2] = epa;
  page[word + 3] = epa / TWO_TO_32;
}

function checkedEntryWord(page: Uint32Array, index: number): number {
  const word = pageListEntryWord(index);
  if (index < 0 || word + 6 > page.length) {
    throw new HypercallError(`a page of ${page.length} words has no page list entry ${index}`);
  }
  return word;
}
