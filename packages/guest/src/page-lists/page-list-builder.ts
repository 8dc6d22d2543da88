import {
  KvmError,
  PAGE_LIST_ENTRY_SIZE,
  PAGE_LIST_HEADER_SIZE,
  PAGE_LIST_MAX_ENTRIES,
  writePageListEntry,
  writePageListHeader,
} from '@heki/hypercall/kvm';
import { addressOf, type Gfn, type Gpa, PAGE_WORDS, type VirtualAddress } from '@heki/physical-memory';
import type { RangeSink } from '../counters/page-counters.ts';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { HekiKernel, KernelPage } from '../kernel/kernel.ts';

/** What {@link PageListBuilder} depends on. */
export interface PageListBuilderOptions {
  readonly kernel: HekiKernel;
  readonly defects: GuestDefectSwitches;
  /** A range was left out, because no page was there for it (B-G2). */
  readonly onDropped: (start: Gfn, end: Gfn, permissions: number) => void;
}

/**
 * Failed allocations after which the rest of a range is given up at once: the series would try for every page of a
 * range of any size (B-G2).
 */
const MAX_FAILED_ALLOCATIONS = 2 ** 16;

const NO_ADDRESS = 0n as VirtualAddress;

/**
 * Builds the page list of one hypercall (`heki_add_pa`, Heki v2 18/19): ranges in the order in which they come, 169 to a
 * page; ranges that follow on from the one before with the same permissions become one. Each page links to the one
 * filled before it, so that the list begins with the newest.
 */
export class PageListBuilder implements RangeSink {
  readonly #kernel: HekiKernel;
  /** B-G2: pages are allocated one by one while the list is built. */
  readonly #allocatesEarly: boolean;
  /** B-G13: the allocation may reclaim memory. */
  readonly #reclaims: boolean;
  readonly #onDropped: (start: Gfn, end: Gfn, permissions: number) => void;
  readonly #pages: KernelPage[] = [];
  /** The bytes of pages that are full, while there are no pages for them. */
  readonly #full: Uint32Array[] = [];
  #image: Uint32Array | undefined;
  /** `npages` of the open page: the index of its open entry, or 169 when a page more was wanted and not got. */
  #index = 0;
  #start = 0 as Gfn;
  #end = 0 as Gfn;
  #permissions = 0;
  #failures = 0;
  #storeFailed = false;

  /** Ranges and frames in the list so far. */
  ranges = 0;
  frames = 0;

  constructor(options: PageListBuilderOptions) {
    this.#kernel = options.kernel;
    this.#allocatesEarly = options.defects['B-G2'];
    this.#reclaims = options.defects['B-G13'];
    this.#onDropped = options.onDropped;
  }

  /** Whether there is anything to send. */
  get isEmpty(): boolean {
    return this.#image === undefined;
  }

  /** Pages of the list. */
  get pages(): number {
    return this.#pages.length;
  }

  add(start: Gfn, end: Gfn, permissions: number): void {
    if (this.#image !== undefined && this.#index < PAGE_LIST_MAX_ENTRIES) {
      if (start === this.#end && permissions === this.#permissions) {
        this.#end = end;
        this.frames += end - start;
        return;
      }
      this.#writeEntry(this.#image);
      this.#index++;
    }
    let from = start;
    while (this.#image === undefined || this.#index >= PAGE_LIST_MAX_ENTRIES) {
      if (this.#openPage()) break;
      // The series goes page by page, and tries again with the next one.
      from = this.#failures++ < MAX_FAILED_ALLOCATIONS ? ((from + 1) as Gfn) : end;
      if (from >= end) break;
    }
    if (from > start) this.#onDropped(start, from, permissions);
    if (from >= end) return;
    this.#start = from;
    this.#end = end;
    this.#permissions = permissions;
    this.ranges++;
    this.frames += end - from;
  }

  /**
   * Finishes the list and stores its bytes: the address for the hypercall, or a negative error number when the list
   * could not be stored. Call it once, and only if the list is not {@link isEmpty}.
   */
  finish(): { readonly list: Gpa } | { readonly error: number } {
    const image = this.#image ?? new Uint32Array(PAGE_WORDS);
    if (this.#index < PAGE_LIST_MAX_ENTRIES) this.#writeEntry(image);
    // A page that was full when no further one was to be had claims 170 entries here (B-G2).
    const count = this.#index + 1;
    for (const full of this.#full) {
      if (!this.#allocate()) return this.#outOfPages();
      this.#store(full, PAGE_LIST_MAX_ENTRIES);
    }
    if (!this.#allocatesEarly && !this.#allocate()) return this.#outOfPages();
    this.#store(image, count);
    const newest = this.#pages.at(-1);
    if (this.#storeFailed || newest === undefined) return { error: -KvmError.EFAULT };
    return { list: addressOf(newest.frame) };
  }

  /** Gives the pages of the list back. */
  free(): void {
    for (const page of this.#pages) this.#kernel.freePage(page);
    this.#pages.length = 0;
  }

  #openPage(): boolean {
    if (this.#allocatesEarly) {
      // The page before can be stored only now: its successor has taken its place as the newest.
      const image = this.#image;
      const page = this.#kernel.allocatePage(this.#reclaims);
      if (page === undefined) return false;
      if (image !== undefined) this.#store(image, PAGE_LIST_MAX_ENTRIES);
      this.#pages.push(page);
      this.#image = image ?? new Uint32Array(PAGE_WORDS);
    } else {
      if (this.#image !== undefined) this.#full.push(this.#image);
      this.#image = new Uint32Array(PAGE_WORDS);
    }
    this.#index = 0;
    return true;
  }

  #outOfPages(): { readonly error: number } {
    this.free();
    return { error: -KvmError.ENOMEM };
  }

  #allocate(): boolean {
    const page = this.#kernel.allocatePage(this.#reclaims);
    if (page !== undefined) this.#pages.push(page);
    return page !== undefined;
  }

  #writeEntry(image: Uint32Array): void {
    writePageListEntry(image, this.#index, addressOf(this.#start), addressOf(this.#end), this.#permissions);
  }

  /** Stores `image` with `count` entries into the newest page. Behind the entries that page keeps what was there. */
  #store(image: Uint32Array, count: number): void {
    const page = this.#pages.at(-1);
    const before = this.#pages.at(-2);
    if (page === undefined) return;
    const nextPa = before === undefined ? (0 as Gpa) : addressOf(before.frame);
    writePageListHeader(image, before?.address ?? NO_ADDRESS, nextPa, count);
    const entries = Math.min(count, PAGE_LIST_MAX_ENTRIES);
    const bytes = new Uint8Array(
      image.buffer,
      image.byteOffset,
      PAGE_LIST_HEADER_SIZE + entries * PAGE_LIST_ENTRY_SIZE,
    );
    if (!this.#kernel.store(page, 0, bytes)) this.#storeFailed = true;
  }
}
