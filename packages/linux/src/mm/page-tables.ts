import type { Gfn, U64, VirtualFrame } from '@heki/physical-memory';
import {
  type AddressSpace,
  createAddressSpace,
  type EditResult,
  EntryLow,
  entryFrame,
  entryIndex,
  framesOfLevel,
  isLeaf,
  type LeafLevel,
  type Level,
  type PagingLevels,
  type StaleRange,
} from '@heki/x86';
import { KernelStop } from '../outcome.ts';
import type { KernelMemory } from './kernel-memory.ts';
import { isNone, plainLeaf, storedLeaf, withPresenceBits } from './leaf-entry.ts';

const { P, PS, RW, US, A } = EntryLow;
/** Of an entry that leads to a table (_PAGE_TABLE): leaves decide. */
const TABLE_BITS = P | RW | US | A;

/** The address part of the low half of an entry. */
const frameLow = (frame: Gfn): number => (frame % 2 ** 20) * 4096;

const isError = (stop: unknown): boolean => stop instanceof KernelStop && stop.outcome.kind === 'error';

/** The entry that decides about an address: a leaf, present or not, or the one at the last level. */
export interface TableEntry {
  readonly table: Gfn;
  readonly slot: number;
  readonly level: LeafLevel;
  readonly low: number;
  readonly high: number;
}

/** What page tables are made of. */
export interface PageTablesOptions {
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** How the kernel reaches memory just now. */
  readonly memory: () => KernelMemory;
  readonly allocate: () => Gfn | undefined;
  readonly free: (frame: Gfn) => void;
  readonly onSplit?: (frame: VirtualFrame, level: LeafLevel) => void;
}

/**
 * A kernel's page tables. Everything happens in {@link edit}, at whose end the entries that changed are stored, translations
 * dropped, and emptied table pages given back, in this order.
 */
export class PageTables {
  readonly root: Gfn;
  readonly levels: PagingLevels;
  readonly #options: PageTablesOptions;
  readonly #space: AddressSpace;
  readonly #fresh = new Set<Gfn>();
  #emptied: Gfn[] = [];
  #editing = false;
  #stale: StaleRange[] = [];
  #flushAll = false;

  constructor(options: PageTablesOptions) {
    this.root = options.root;
    this.levels = options.levels;
    this.#options = options;
    this.#space = createAddressSpace({
      memory: {
        page: (frame) => options.memory().tables.page(frame),
        writablePage: (frame) => options.memory().tables.writablePage(frame),
      },
      tables: {
        allocate: () => {
          const frame = options.allocate();
          if (frame !== undefined) this.#fresh.add(frame);
          return frame;
        },
        free: (frame) => {
          this.#fresh.delete(frame);
          this.#emptied.push(frame);
        },
      },
      levels: options.levels,
      root: options.root,
    });
  }

  /**
   * Runs `change`; then what it did takes effect, also when it ended early with an error. An edit within another belongs to it.
   *
   * @throws {KernelStop} of `change`, or when storing entries does not complete
   */
  edit<Value>(change: () => Value): Value {
    if (this.#editing) return change();
    this.#editing = true;
    try {
      let value: Value;
      try {
        value = change();
      } catch (stop) {
        // What a function did before it returned an error stays, as in the kernel.
        if (isError(stop)) this.#commit();
        throw stop;
      }
      this.#commit();
      return value;
    } finally {
      this.#options.memory().tables.discard();
      this.#editing = false;
      this.#fresh.clear();
      this.#emptied = [];
      this.#stale = [];
      this.#flushAll = false;
    }
  }

  /** At the end of the edit, drop cached translations of these frames. */
  flush(start: VirtualFrame, end: VirtualFrame): void {
    this.#stale.push({ start, end });
  }

  /** At the end of the edit, drop all cached translations. */
  flushAll(): void {
    this.#flushAll = true;
  }

  /**
   * `lookup_address`: `undefined` where a table above the last level is missing. A large entry that is not present, and not none, is a
   * leaf that was hidden. Call it inside {@link edit}.
   */
  lookup(frame: VirtualFrame): TableEntry | undefined {
    const { tables } = this.#options.memory();
    let table = this.root;
    for (let level = this.levels as Level; ; level = (level - 1) as Level) {
      const slot = entryIndex(frame, level);
      const { low, high } = tables.entry(table, slot);
      if (level === 1) return { table, slot, level, low, high };
      if (level > 3 ? (low & P) === 0 : isNone({ low, high })) return undefined;
      if (level <= 3 && (isLeaf(low, level) || (low & P) === 0)) {
        return { table, slot, level: level as LeafLevel, low, high };
      }
      table = entryFrame(low, high);
    }
  }

  /** Replaces an entry. Call it inside {@link edit}. */
  setEntry({ table, slot }: TableEntry, low: number, high: number): void {
    this.#options.memory().tables.setEntry(table, slot, low, high);
  }

  /**
   * Gives every entry of the root over these frames a table, for good: address spaces that copy the root then see all that
   * is mapped there later.
   */
  fillRoot(start: VirtualFrame, end: VirtualFrame): boolean {
    const span = framesOfLevel(this.levels);
    const { tables } = this.#options.memory();
    const page = tables.writablePage(this.root);
    for (let at = start - (start % span); page !== undefined && at < end; at += span) {
      const slot = entryIndex(at, this.levels);
      if (((page[2 * slot] ?? 0) & P) !== 0) continue;
      const frame = this.#options.allocate();
      if (frame === undefined) return false;
      this.#fresh.add(frame);
      tables.writablePage(frame)?.fill(0);
      page[2 * slot] = frameLow(frame) | TABLE_BITS;
      page[2 * slot + 1] = Math.floor(frame / 2 ** 20);
    }
    return true;
  }

  /** Maps frames; cached translations of what was there are dropped. */
  map(start: VirtualFrame, frames: number, target: Gfn, bits: U64, largest: LeafLevel): EditResult {
    return this.#note(this.#space.map(start, (start + frames) as VirtualFrame, target, bits, largest), true);
  }

  /** Removes mappings. With `lazy` cached translations stay until somebody flushes. */
  unmap(start: VirtualFrame, end: VirtualFrame, lazy: boolean): EditResult {
    return this.#note(this.#space.unmap(start, end), !lazy);
  }

  /** Splits the large leaf over `frame`, which `entry` is, by one level. */
  split(frame: VirtualFrame, entry: TableEntry): EditResult {
    const level = (entry.level - 1) as LeafLevel;
    this.#options.onSplit?.(frame, entry.level);
    if ((entry.low & P) !== 0) return this.#note(this.#space.split(frame, level), true);
    // The editor splits present leaves: this one is, until the new table holds what it held.
    const plain = plainLeaf(entry.low, entry.high, entry.level);
    this.setEntry(entry, plain.low | P | PS, plain.high);
    const result = this.#space.split(frame, level);
    if (result.stoppedAt !== undefined) this.setEntry(entry, entry.low, entry.high);
    else this.#hide(entry);
    return result;
  }

  /** Makes all leaves in the table under `parent` not present. */
  #hide({ table, slot, level: above }: TableEntry): void {
    const level = (above - 1) as LeafLevel;
    const { tables } = this.#options.memory();
    const parent = tables.entry(table, slot);
    const page = tables.writablePage(entryFrame(parent.low, parent.high));
    if (page === undefined) return;
    for (let word = 0; word < page.length; word += 2) {
      const hidden = { low: (page[word] ?? 0) & ~P, high: page[word + 1] ?? 0 };
      const { low, high } = storedLeaf(withPresenceBits(hidden, level));
      page[word] = low;
      page[word + 1] = high;
    }
  }

  #note(result: EditResult, flush: boolean): EditResult {
    if (flush) this.#stale.push(...result.stale);
    return result;
  }

  #commit(): void {
    const memory = this.#options.memory();
    memory.tables.commit(this.#fresh);
    if (this.#flushAll) memory.flush('all');
    else if (this.#stale.length > 0) memory.flush(this.#stale);
    for (const frame of this.#emptied) this.#options.free(frame);
  }
}
