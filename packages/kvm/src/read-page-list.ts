import {
  KvmError,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  PAGE_LIST_MAX_ENTRIES,
  PageListEntryWord,
  PageListHeaderWord,
  pageListEntryWord,
  wordsToBigInt,
} from '@heki/hypercall/kvm';
import { type Gpa, PAGE_SIZE, PHYSICAL_ADDRESS_END, readBytes } from '@heki/physical-memory';
import { readableBytes } from './guest-memory.ts';
import { hostLine } from './host-line.ts';
import { reportIncident } from './incident.ts';
import type { VmState } from './vm-state.ts';

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
    const header = new Uint32Array(PAGE_LIST_HEADER_SIZE / 4);
    if (!copyFromGuest(vm, address, header)) return unreadable('list', next);
    const npages = wordsToBigInt(header, PageListHeaderWord.NPAGES);
    emit?.({ type: 'list-page', gpa: next, entries: npages });
    if (npages > BigInt(PAGE_LIST_MAX_ENTRIES)) {
      if (defects['B-H2']) reportOverflow(vm, address, npages);
      return fail(defects['B-H2'] ? -KvmError.EFAULT : -KvmError.EINVAL);
    }
    const words = new Uint32Array(pageListEntryWord(Number(npages)));
    const entries = words.subarray(pageListEntryWord(0));
    if (!copyFromGuest(vm, address + PAGE_LIST_HEADER_SIZE, entries)) return unreadable('pages', next);
    pages.push(rangesOf(words, Number(npages)));
    next = wordsToBigInt(header, PageListHeaderWord.NEXT_PA);
  }
  return { ok: true, ranges: pages.reverse().flat() };
}

/** kvm_read_guest(): whether all of `target` was read from guest-physical `address`. */
function copyFromGuest(vm: VmState, address: number, target: Uint32Array): boolean {
  const bytes = new Uint8Array(target.buffer, target.byteOffset, target.byteLength);
  if (address + bytes.length > PHYSICAL_ADDRESS_END) return false;
  return readBytes(vm.memory, address as Gpa, bytes) === bytes.length;
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

function rangesOf(words: Uint32Array, npages: number): RawRange[] {
  const ranges: RawRange[] = [];
  for (let index = 0; index < npages; index++) {
    const entry = pageListEntryWord(index);
    const start = entry + PageListEntryWord.PA;
    const end = entry + PageListEntryWord.EPA;
    const permissions = entry + PageListEntryWord.PERMISSIONS;
    ranges.push({
      start: frameAt(words, start),
      end: frameAt(words, end),
      startOffset: (words[start] ?? 0) & 0xfff,
      endOffset: (words[end] ?? 0) & 0xfff,
      permissions: (words[permissions] ?? 0) + ((words[permissions + 1] ?? 0) === 0 ? 0 : 2 ** 32),
    });
  }
  return ranges;
}

/** The u64 at `word`, shifted right by 12: exact in a number. */
function frameAt(words: Uint32Array, word: number): number {
  return (words[word + 1] ?? 0) * 2 ** 20 + ((words[word] ?? 0) >>> 12);
}
