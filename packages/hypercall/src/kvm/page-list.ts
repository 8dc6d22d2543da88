import {
  addressOf,
  frameOf,
  type Gfn,
  type Gpa,
  gpa,
  PAGE_SIZE,
  PHYSICAL_ADDRESS_END,
  type PhysicalMemory,
  type VirtualAddress,
} from '@heki/physical-memory';
import { HypercallError } from './error.ts';
import {
  PAGE_LIST_MAX_ENTRIES,
  PageListEntryWord,
  PageListHeaderWord,
  pageListEntryWord,
  type Words,
  wordsToBigInt,
  wordsToNumber,
  writePageListEntry,
  writePageListHeader,
} from './page-list-layout.ts';
import { MEM_ATTR_PROT } from './permission.ts';

/** The guest frames `start` .. `end` - 1 and the permissions that a page list asks for them. */
export interface ProtectedRange {
  readonly start: Gfn;
  /** Exclusive. */
  readonly end: Gfn;
  /** MEM_ATTR bits. */
  readonly permissions: number;
}

/** One page of a decoded list: its entries in the order in which the guest added them, as parallel arrays. */
export interface PageListPage {
  readonly address: Gpa;
  /** First frame of each entry. */
  readonly starts: Float64Array;
  /** Exclusive end frame of each entry. */
  readonly ends: Float64Array;
  /** MEM_ATTR bits of each entry, 1 .. 15. */
  readonly permissions: Uint8Array;
}

/** What is wrong with a page list. */
export type PageListFaultCode =
  /** The list's or a next page's address is not page aligned, or not below 2^52. */
  | 'bad-page-address'
  /** No memory at a list page's address. */
  | 'page-absent'
  /** A page of the list comes again. */
  | 'cycle'
  /** More list pages than the decoder was told to read. */
  | 'too-many-pages'
  /** `npages` is more than a page holds. */
  | 'too-many-entries'
  /** `pa` or `epa` is not page aligned, or above 2^52, or the range is empty. */
  | 'bad-range'
  /** `permissions` is 0 or has a bit outside MEM_ATTR_PROT. */
  | 'bad-permissions';

/** The first thing wrong with a page list, where it stands and what would be right there. */
export interface PageListFault {
  readonly code: PageListFaultCode;
  /** Which page of the chain, from 0. A bad first address has no page: -1. */
  readonly page: number;
  /** Guest-physical address of that page (of the page that holds the bad `next_pa`, for an address). */
  readonly address: Gpa | undefined;
  /** Byte offset of the wrong field in that page. */
  readonly offset: number;
  /** The value found there. */
  readonly found: bigint;
  readonly expected: string;
}

export type PageListResult =
  | {
      readonly ok: true;
      /** In chain order: the newest page first. */
      readonly pages: readonly PageListPage[];
    }
  | { readonly ok: false; readonly fault: PageListFault };

/** List pages that {@link decodePageList} reads unless told otherwise: 692,224 ranges. */
export const DEFAULT_MAX_LIST_PAGES = 4096;

/**
 * Decodes the page list at `list` (as a register holds it; 0 is the empty list), whatever its bytes are. Each
 * field is read once, so that a guest that changes the list meanwhile cannot have one value checked and another
 * used. Takes at most `maxPages` list pages of work and about 3 KiB of memory for each.
 */
export function decodePageList(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly list: bigint;
  readonly maxPages?: number | undefined;
}): PageListResult {
  const { memory, maxPages = DEFAULT_MAX_LIST_PAGES } = options;
  const pages: PageListPage[] = [];
  const seen = new Set<number>();
  let holder: Gpa | undefined;
  let next = options.list;

  while (next !== 0n) {
    const at = { page: pages.length - 1, address: holder, offset: holder === undefined ? 0 : 8, found: next };
    if (next % BigInt(PAGE_SIZE) !== 0n || next >= BigInt(PHYSICAL_ADDRESS_END)) {
      return fault('bad-page-address', at, 'a page-aligned guest-physical address below 2^52');
    }
    const address = gpa(Number(next));
    if (seen.has(address)) return fault('cycle', at, 'a page that is not in the list yet, or 0');
    if (pages.length >= maxPages) return fault('too-many-pages', at, `0: at most ${maxPages} list pages`);
    const words = memory.page(frameOf(address));
    if (words === undefined) return fault('page-absent', at, 'the address of a page of memory');
    seen.add(address);

    const nextPa = wordsToBigInt(words, PageListHeaderWord.NEXT_PA);
    const decoded = decodePage(words, address, pages.length);
    if ('code' in decoded) return { ok: false, fault: decoded };
    pages.push(decoded);
    holder = address;
    next = nextPa;
  }
  return { ok: true, pages };
}

/** Calls `visit` for every range of a decoded list in the order in which KVM applies them: oldest first. */
export function forEachRange(
  pages: readonly PageListPage[],
  visit: (start: Gfn, end: Gfn, permissions: number) => void,
): void {
  for (let index = pages.length - 1; index >= 0; index--) {
    const page = pages[index];
    if (page === undefined) continue;
    for (let entry = 0; entry < page.starts.length; entry++) {
      visit(page.starts[entry] as Gfn, page.ends[entry] as Gfn, page.permissions[entry] ?? 0);
    }
  }
}

/** A fault as one line: page of the chain, address, offset, what stands there and what was expected. */
export function pageListFaultText({ code, page, address, offset, found, expected }: PageListFault): string {
  const where =
    address === undefined
      ? 'the list address'
      : `page ${page} of the list (guest-physical 0x${address.toString(16)}), offset ${offset}`;
  return `${code}: ${where}: found 0x${found.toString(16)}, expected ${expected}`;
}

/**
 * Writes `ranges` (oldest first) as a page list into the pages at `frames`, which are taken in order: the bytes
 * that the guest of the series would leave there. Returns the address to pass to hypercall 14, which is that of the
 * last page written, 0 when there are no ranges.
 *
 * @param options.directMap where guest-physical address 0 is mapped: what `next` pointers are made of
 * @throws {HypercallError} when the frames are too few or one of them is absent
 */
export function encodePageList(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly frames: readonly Gfn[];
  readonly ranges: readonly ProtectedRange[];
  readonly directMap: VirtualAddress;
}): Gpa {
  const { memory, frames, ranges, directMap } = options;
  const needed = Math.ceil(ranges.length / PAGE_LIST_MAX_ENTRIES);
  if (frames.length < needed) {
    throw new HypercallError(
      `${ranges.length} ranges need ${needed} list pages: got ${frames.length} frames`,
    );
  }
  let head = 0 as Gpa;
  for (let index = 0; index < needed; index++) {
    const frame = frames[index] as Gfn;
    const page = memory.writablePage(frame);
    if (page === undefined) throw new HypercallError(`no memory at guest frame 0x${frame.toString(16)}`);
    const first = index * PAGE_LIST_MAX_ENTRIES;
    const entries = ranges.slice(first, first + PAGE_LIST_MAX_ENTRIES);
    const next = (head === 0 ? 0n : directMap + BigInt(head)) as VirtualAddress;
    writePageListHeader(page, next, head, entries.length);
    for (const [entry, { start, end, permissions }] of entries.entries()) {
      writePageListEntry(page, entry, addressOf(start), addressOf(end), permissions);
    }
    head = addressOf(frame);
  }
  return head;
}

function decodePage(words: Words, address: Gpa, page: number): PageListPage | PageListFault {
  const npages = wordsToNumber(words, PageListHeaderWord.NPAGES);
  const bad = (code: PageListFaultCode, word: number, expected: string): PageListFault => ({
    code,
    page,
    address,
    offset: word * 4,
    found: wordsToBigInt(words, word),
    expected,
  });
  if (npages > PAGE_LIST_MAX_ENTRIES) {
    return bad('too-many-entries', PageListHeaderWord.NPAGES, `at most ${PAGE_LIST_MAX_ENTRIES} entries`);
  }
  const starts = new Float64Array(npages);
  const ends = new Float64Array(npages);
  const permissions = new Uint8Array(npages);
  for (let index = 0; index < npages; index++) {
    const entry = pageListEntryWord(index);
    const pa = wordsToNumber(words, entry + PageListEntryWord.PA);
    const epa = wordsToNumber(words, entry + PageListEntryWord.EPA);
    const permission = wordsToNumber(words, entry + PageListEntryWord.PERMISSIONS);
    if (pa % PAGE_SIZE !== 0 || pa >= PHYSICAL_ADDRESS_END) {
      return bad('bad-range', entry + PageListEntryWord.PA, 'a page-aligned address below 2^52');
    }
    if (epa % PAGE_SIZE !== 0 || epa > PHYSICAL_ADDRESS_END || epa <= pa) {
      const expected = `a page-aligned end above 0x${pa.toString(16)} and at most 2^52`;
      return bad('bad-range', entry + PageListEntryWord.EPA, expected);
    }
    if (permission === 0 || permission > MEM_ATTR_PROT) {
      return bad('bad-permissions', entry + PageListEntryWord.PERMISSIONS, `1 to ${MEM_ATTR_PROT}`);
    }
    starts[index] = pa / PAGE_SIZE;
    ends[index] = epa / PAGE_SIZE;
    permissions[index] = permission;
  }
  return { address, starts, ends, permissions };
}

function fault(
  code: PageListFaultCode,
  at: Pick<PageListFault, 'page' | 'address' | 'offset' | 'found'>,
  expected: string,
): PageListResult {
  return { ok: false, fault: { code, ...at, expected } };
}
