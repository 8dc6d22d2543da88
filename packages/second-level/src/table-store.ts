import { type Gfn, PAGE_WORDS, type PageView, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { SecondLevelEditorError, type SecondLevelFormat, type TableFrames } from './format.ts';

/** Frames that an entry of each level covers. */
const SPAN: readonly number[] = [0, 1, 2 ** 9, 2 ** 18, 2 ** 27, 2 ** 36];

/** The frames that an entry of `level` (1..5) covers. */
export function spanOf(level: number): number {
  return SPAN[level] ?? 0;
}

/** The frame number in an entry, bits 51:12. */
export function frameIn(low: number, high: number): Pfn {
  return ((low >>> 12) + (high & 0xfffff) * 0x10_0000) as Pfn;
}

/** Table pages: taken from an allocator, found in memory, split, merged and freed. Knows nothing of ranges. */
export class TableStore {
  readonly memory: PhysicalMemory<Pfn>;
  readonly format: SecondLevelFormat;
  readonly #frames: TableFrames;
  readonly #present: number;
  readonly #leafMask: number;
  readonly #largeLeaf: number;
  readonly #smallLeaf: number;
  count = 0;

  constructor(memory: PhysicalMemory<Pfn>, frames: TableFrames, format: SecondLevelFormat) {
    this.memory = memory;
    this.format = format;
    this.#frames = frames;
    this.#present = format.present;
    this.#leafMask = format.leaf.mask;
    this.#largeLeaf = format.leaf.large;
    this.#smallLeaf = format.leaf.small;
  }

  page(table: Pfn): Uint32Array {
    const page = this.memory.writablePage(table);
    if (page === undefined) throw notInMemory(table);
    return page;
  }

  /** The words of a table for who only looks at them: memory that knows which pages were written need not take it for one. */
  view(table: Pfn): PageView {
    const page = this.memory.page(table);
    if (page === undefined) throw notInMemory(table);
    return page;
  }

  /** The frame of a new table without a present entry, or `undefined` when no frame is left. */
  create(): Pfn | undefined {
    const table = this.#frames.allocate();
    if (table === undefined) return undefined;
    const page = this.page(table);
    const { low, high } = this.format.absent;
    page.fill(low);
    if (high !== low) for (let word = 1; word < PAGE_WORDS; word += 2) page[word] = high;
    this.count++;
    return table;
  }

  free(table: Pfn): void {
    this.count--;
    this.#frames.free(table);
  }

  isPresent(low: number): boolean {
    return (low & this.#present) !== 0;
  }

  isLeaf(low: number, level: number): boolean {
    return level === 1 || (low & this.#leafMask) === this.#largeLeaf;
  }

  /** The bits that make a leaf of an entry of `level`. */
  leafBits(level: number): number {
    return level === 1 ? this.#smallLeaf : this.#largeLeaf;
  }

  /** Frees `table`, whose entries are of `level`, and all tables below it. */
  freeTree(table: Pfn, level: number): void {
    if (level > 1) {
      const page = this.view(table);
      for (let word = 0; word < PAGE_WORDS; word += 2) {
        const low = page[word] ?? 0;
        if (this.isPresent(low) && !this.isLeaf(low, level)) {
          this.freeTree(frameIn(low, page[word + 1] ?? 0), level - 1);
        }
      }
    }
    this.free(table);
  }

  /** Points the entry at `word` of `page` to `table`. */
  link(page: Uint32Array, word: number, table: Pfn): void {
    const upper = Math.floor(table / 0x10_0000);
    page[word] = this.format.table.low | ((table - upper * 0x10_0000) << 12);
    page[word + 1] = this.format.table.high | upper;
  }

  /** Makes the entry at `word` absent. */
  setAbsent(page: Uint32Array, word: number): void {
    page[word] = this.format.absent.low;
    page[word + 1] = this.format.absent.high;
  }

  /** Takes the empty `table` out of the entry at `word` of `page` that points to it, and frees it. */
  unlink(page: Uint32Array, word: number, table: Pfn): void {
    this.setAbsent(page, word);
    this.free(table);
  }

  /** Replaces the leaf of `level` at `word` by a table that maps the same; `false` when no frame is left. */
  split(page: Uint32Array, word: number, level: number): boolean {
    const table = this.create();
    if (table === undefined) return false;
    const entries = this.page(table);
    const low = ((page[word] ?? 0) & ~this.#leafMask) | this.leafBits(level - 1);
    const high = page[word + 1] ?? 0;
    const step = level === 2 ? 0x1000 : 0x20_0000;
    for (let index = 0; index < 512; index++) {
      // The leaf is aligned, so the steps stay below bit 21 or 30 and never carry.
      entries[2 * index] = low + index * step;
      entries[2 * index + 1] = high;
    }
    this.link(page, word, table);
    return true;
  }

  /** Whether no entry of the table is present. */
  isEmpty(table: Pfn): boolean {
    const page = this.view(table);
    for (let word = 0; word < PAGE_WORDS; word += 2) if (this.isPresent(page[word] ?? 0)) return false;
    return true;
  }

  /**
   * Replaces the table under the entry of `level` at `word` by one leaf, when all its entries are leaves that agree
   * (accessed and dirty flags aside, which the leaf gathers) and map aligned consecutive frames. Whether it did.
   */
  merge(page: Uint32Array, word: number, level: number): boolean {
    if (level > this.format.largestLeaf) return false;
    const table = frameIn(page[word] ?? 0, page[word + 1] ?? 0);
    const entries = this.view(table);
    const first = entries[0] ?? 0;
    const high = entries[1] ?? 0;
    const aligned = level === 2 ? (first & 0x1f_f000) === 0 : (first & 0x3fff_f000) === 0;
    if (!aligned || !this.isPresent(first) || !this.isLeaf(first, level - 1)) return false;
    const ignored = this.format.accessedDirty;
    const step = level === 2 ? 0x1000 : 0x20_0000;
    let low = first;
    for (let index = 1; index < 512; index++) {
      const entry = entries[2 * index] ?? 0;
      if (((entry ^ (first + index * step)) & ~ignored) !== 0 || entries[2 * index + 1] !== high)
        return false;
      low |= entry & ignored;
    }
    page[word] = (low & ~this.#leafMask) | this.#largeLeaf;
    page[word + 1] = high;
    this.free(table);
    return true;
  }
}

/** The word of the entry of `level` for `gfn` in a table page: twice its index. */
export function entryWord(gfn: Gfn, level: number): number {
  return 2 * (Math.floor(gfn / spanOf(level)) % 512);
}

function notInMemory(table: Pfn): SecondLevelEditorError {
  return new SecondLevelEditorError(
    `host frame 0x${table.toString(16)}, used for a table, is not in host memory`,
  );
}
