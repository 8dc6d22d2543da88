import {
  KvmError,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  PAGE_LIST_MAX_ENTRIES,
  PageListEntryWord,
  PageListHeaderWord,
  pageListEntryWord,
  wordsToBigInt,
  wordsToNumber,
} from '@heki/hypercall/kvm';
import { type Gpa, PAGE_SIZE, PHYSICAL_ADDRESS_END, readBytes } from '@heki/physical-memory';
import { hostLine } from '../host/host-line.ts';
import { reportIncident } from '../host/incident.ts';
import { yieldAt } from '../host/yield.ts';
import { readableBytes } from '../memslots/guest-memory.ts';
import type { VmState } from '../vm-state.ts';

/** One entry of a page list as the guest wrote it, not yet looked at. */
export interface RawRange {
  /** Frame of `pa`; an integer below 2^52, exact. */
  readonly start: number;
  /** Frame of `epa`, exclusive. */
  readonly end: number;
  /** Low bits of `pa` and `epa`: 0 when they are page aligned. */
  readonly startOffset: number;
  readonly endOffset: number;
  /** MEM_ATTR bits, or a value above 15 when any other of the 64 bits is set. */
  readonly permissions: number;
}

/** A list that was read, in the order of application (oldest first), or an error number. */
export type PageListReading =
  | { readonly ok: true; readonly ranges: readonly RawRange[] }
  | { readonly ok: false; readonly error: number; readonly ranges: readonly RawRange[] };

const TWO_TO_64 = 1n << 64n;
const BUFFER = PAGE_SIZE;
/** Bytes of a buffer behind the header. */
const ENTRIES_ROOM = BUFFER - PAGE_LIST_HEADER_SIZE;

/**
 * The first half of heki_protect_memory(): copies the whole list out of guest memory, page by page, each field once.
 * The guest links its newest page first; the order is turned around here.
 */
export function readPageList(vm: VmState, list: bigint): PageListReading {
  const { defects, options, emit } = vm;
  const pages: RawRange[][] = [];
  const seen = new Set<number>();
  const fail = (error: number): PageListReading => ({
    ok: false,
    error,
    ranges: pages.flat(),
  });
  const unreadable = (what: string, address: bigint): PageListReading => {
    hostLine(vm, what, () => `heki: Can't read ${what} ${address.toString(16)}`);
    if (defects['B-H4']) {
      reportIncident(
        vm,
        'host-leak',
        'B-H4',
        BigInt(BUFFER),
        'bytes',
        'the buffer of the list page is never freed',
      );
    }
    return fail(-KvmError.EFAULT);
  };

  let next = list;
  while (next !== 0n) {
    if (pages.length >= options.budget.listPages) {
      if (defects['B-H3']) {
        const bytes = BigInt(pages.length) * BigInt(BUFFER);
        const text = `${pages.length} buffers are allocated and the list goes on`;
        reportIncident(vm, 'host-exhaustion', 'B-H3', bytes, 'bytes', text);
      }
      return fail(-KvmError.E2BIG);
    }
    const address = Number(next);
    if (!defects['B-H3']) {
      if (next % BigInt(PAGE_SIZE) !== 0n || seen.has(address)) return fail(-KvmError.EINVAL);
      seen.add(address);
    }
    if (!copyFromGuest(vm, address, PAGE_LIST_HEADER_SIZE)) return unreadable('list', next);
    const nextPage = wordsToBigInt(WORDS, PageListHeaderWord.NEXT_PA);
    const npages = wordsToNumber(WORDS, PageListHeaderWord.NPAGES);
    if (emit !== undefined) {
      emit({ type: 'list-page', gpa: next, entries: wordsToBigInt(WORDS, PageListHeaderWord.NPAGES) });
    }
    if (npages > PAGE_LIST_MAX_ENTRIES) {
      if (defects['B-H2']) reportOverflow(vm, address, wordsToBigInt(WORDS, PageListHeaderWord.NPAGES));
      return fail(defects['B-H2'] ? -KvmError.EFAULT : -KvmError.EINVAL);
    }
    // The buffer is free: nothing in it is needed any more.
    yieldAt(vm, 'guest-read');
    if (!copyFromGuest(vm, address + PAGE_LIST_HEADER_SIZE, npages * PAGE_LIST_ENTRY_SIZE)) {
      return unreadable('pages', next);
    }
    pages.push(rangesOf(npages));
    yieldAt(vm, 'guest-read');
    next = nextPage;
  }
  return { ok: true, ranges: pages.reverse().flat() };
}

/** Where a header, and then its entries, are copied to. Nobody else has a turn between a copy and its use, so that one buffer serves all. */
const WORDS = new Uint32Array((PAGE_LIST_MAX_ENTRIES * PAGE_LIST_ENTRY_SIZE) / 4);
const BYTES = new Uint8Array(WORDS.buffer);

/** kvm_read_guest(): whether `length` bytes were read from guest-physical `address`. */
function copyFromGuest(vm: VmState, address: number, length: number): boolean {
  if (address + length > PHYSICAL_ADDRESS_END) return false;
  return readBytes(vm.memory, address as Gpa, BYTES.subarray(0, length)) === length;
}

/**
 * What the copy of `npages` entries does to the host: the product is a u64 and wraps, the copy ends where guest memory
 * does, and the loop over the entries believes `npages`.
 */
function reportOverflow(vm: VmState, address: number, npages: bigint): void {
  const entry = BigInt(PAGE_LIST_ENTRY_SIZE);
  const length = (npages * entry) % TWO_TO_64;
  // No guest has so much memory without a hole that the clipped length could differ from the copied one.
  const limit = Number(length < BigInt(PHYSICAL_ADDRESS_END) ? length : BigInt(PHYSICAL_ADDRESS_END));
  const copied = readableBytes(vm.slots, address + PAGE_LIST_HEADER_SIZE, limit);
  if (copied > ENTRIES_ROOM) {
    const beyond = BigInt(copied - ENTRIES_ROOM);
    const text = `${copied} bytes of entries are copied to where ${ENTRIES_ROOM} fit`;
    reportIncident(vm, 'host-memory-corruption', 'B-H2', beyond, 'bytes', text);
  } else if (BigInt(copied) === length) {
    const beyond = npages * entry - BigInt(ENTRIES_ROOM);
    const text = `the copy wraps to ${copied} bytes, the loop over ${npages} entries does not`;
    reportIncident(vm, 'host-out-of-bounds-read', 'B-H2', beyond, 'bytes', text);
  }
}

/** The entries in {@link WORDS}. */
function rangesOf(npages: number): RawRange[] {
  const ranges: RawRange[] = [];
  for (let index = 0; index < npages; index++) {
    const entry = pageListEntryWord(index) - pageListEntryWord(0);
    const start = entry + PageListEntryWord.PA;
    const end = entry + PageListEntryWord.EPA;
    const permissions = entry + PageListEntryWord.PERMISSIONS;
    ranges.push({
      start: frameAt(start),
      end: frameAt(end),
      startOffset: (WORDS[start] ?? 0) & 0xfff,
      endOffset: (WORDS[end] ?? 0) & 0xfff,
      permissions: (WORDS[permissions] ?? 0) + ((WORDS[permissions + 1] ?? 0) === 0 ? 0 : 2 ** 32),
    });
  }
  return ranges;
}

/** The u64 at `word`, shifted right by 12: exact in a number. */
function frameAt(word: number): number {
  return (WORDS[word + 1] ?? 0) * 2 ** 20 + ((WORDS[word] ?? 0) >>> 12);
}
