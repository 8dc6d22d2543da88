import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import { EntryHigh, EntryLow, entryFrame, isLeaf, type Level } from '../entries/entry.ts';

/** Gives out frames for table pages and takes them back. */
export interface TableAllocator {
  /** A free frame, present in memory and zeroed by whoever uses it, or `undefined` when none is left. */
  allocate(): Gfn | undefined;
  free(frame: Gfn): void;
}

const { P, RW, US, A } = EntryLow;
/** Entries that lead to tables made here: all rights, so that the leaf decides, and no accessed flag to set. */
const TABLE_BITS = P | RW | US | A;
/** A table made here, before an entry leads to it; and the root, to which none does. */
const UNLINKED = -1;

/**
 * The table pages of an address space: those taken from the allocator are remembered with the address of the entry
 * that leads to them, and freed only when that very entry is changed. So tables that are shared, or that hostile
 * bytes point to a second time, are never freed under their users.
 */
export class AddressSpaceTables {
  readonly #memory: PhysicalMemory<Gfn>;
  readonly #allocator: TableAllocator;
  readonly #entryOf = new Map<Gfn, number>();

  constructor(memory: PhysicalMemory<Gfn>, allocator: TableAllocator) {
    this.#memory = memory;
    this.#allocator = allocator;
  }

  get count(): number {
    return this.#entryOf.size;
  }

  page(table: Gfn): Uint32Array | undefined {
    return this.#memory.writablePage(table);
  }

  createRoot(): Gfn | undefined {
    return this.#create(UNLINKED);
  }

  /** A new, empty table under the entry at `slot` of `parent`. `undefined` when no frame is left. */
  createUnder(parent: Gfn, slot: number): Gfn | undefined {
    const table = this.#create(entryAddress(parent, slot));
    if (table !== undefined) this.#link(parent, slot, table);
    return table;
  }

  /**
   * Replaces the leaf of `level` at `slot` of `parent` by a table that maps the same. `undefined` when no frame is
   * left: nothing has changed then.
   */
  split(parent: Gfn, slot: number, level: 2 | 3): Gfn | undefined {
    const page = this.page(parent);
    const low = page?.[2 * slot] ?? 0;
    const high = page?.[2 * slot + 1] ?? 0;
    const table = this.#create(entryAddress(parent, slot));
    if (table === undefined) return undefined;
    const entries = this.page(table);
    const lower = level === 2 ? toPte(low) : low;
    const step = level === 2 ? 0x1000 : 0x20_0000;
    if (entries !== undefined) {
      for (let index = 0; index < 512; index++) {
        // A leaf's frame is aligned, so the steps never carry; bit 12 may be PAT, which no step touches.
        entries[2 * index] = lower + index * step;
        entries[2 * index + 1] = high;
      }
    }
    this.#link(parent, slot, table);
    return table;
  }

  /** Whether the entry at `slot` of `parent` leads to a table made here, which it was made for. */
  owns(table: Gfn, parent: Gfn, slot: number): boolean {
    return this.#entryOf.get(table) === entryAddress(parent, slot);
  }

  isEmpty(table: Gfn): boolean {
    const page = this.page(table);
    return page?.every((word) => word === 0) ?? false;
  }

  /** Frees the table of `level` under an entry that is about to change, and all below it, as far as they were made here. */
  freeUnder(parent: Gfn, slot: number, table: Gfn, level: Level): void {
    if (!this.owns(table, parent, slot)) return;
    this.#entryOf.delete(table);
    const page = this.page(table);
    for (let index = 0; level > 1 && page !== undefined && index < 512; index++) {
      const low = page[2 * index] ?? 0;
      if ((low & P) === 0 || isLeaf(low, level)) continue;
      this.freeUnder(table, index, entryFrame(low, page[2 * index + 1] ?? 0), (level - 1) as Level);
    }
    this.#allocator.free(table);
  }

  freeAll(): void {
    for (const table of this.#entryOf.keys()) this.#allocator.free(table);
    this.#entryOf.clear();
  }

  #create(entry: number): Gfn | undefined {
    const table = this.#allocator.allocate();
    if (table === undefined) return undefined;
    this.page(table)?.fill(0);
    this.#entryOf.set(table, entry);
    return table;
  }

  #link(parent: Gfn, slot: number, table: Gfn): void {
    const page = this.page(parent);
    if (page === undefined) return;
    const [low, high] = entryOf(table);
    page[2 * slot] = low | TABLE_BITS;
    page[2 * slot + 1] = high;
  }
}

function entryAddress(table: Gfn, slot: number): number {
  return table * 4096 + slot * 8;
}

/** The address part of an entry, as halves. */
export function entryOf(frame: number): readonly [low: number, high: number] {
  const upper = Math.floor(frame / 0x10_0000);
  return [(frame - upper * 0x10_0000) * 0x1000, upper & EntryHigh.FRAME];
}

/** The low half of a large leaf, as that of a PTE: without PS, and PAT from bit 12 to bit 7. */
export function toPte(low: number): number {
  const pat = (low & EntryLow.PAT_LARGE) === 0 ? 0 : EntryLow.PAT;
  return ((low & ~(EntryLow.PS | EntryLow.PAT_LARGE)) | pat) >>> 0;
}

/** The bits of a PTE, without its address, as those of a large leaf: with PS, and PAT from bit 7 to bit 12. */
export function toLarge(low: number): number {
  const pat = (low & EntryLow.PAT) === 0 ? 0 : EntryLow.PAT_LARGE;
  return low | EntryLow.PS | pat;
}
