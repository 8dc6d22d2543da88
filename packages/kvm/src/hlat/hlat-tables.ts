import { HypervisorError } from '@heki/hypervisor';
import {
  addressOf,
  type Gfn,
  type Gpa,
  hex,
  type Pfn,
  type PhysicalMemory,
  type VirtualFrame,
} from '@heki/physical-memory';
import type { TableFrames } from '@heki/second-level';
import { EntryHigh, EntryLow, framesOfLevel, type Level, type PagingLevels } from '@heki/x86';

/** Frames of guest-physical memory that the owner's tables may have: 64 MiB, for 16 GiB of listed addresses at best. */
export const WINDOW_FRAMES = 2 ** 14;

/** An entry that refers to a table: what it maps decides about rights. The accessed flag is set already, so that no walk writes here. */
const TABLE = EntryLow.P | EntryLow.RW | EntryLow.A;

/** The bits of a leaf: low 12, and the high half beside the frame. */
export interface LeafBits {
  readonly low: number;
  readonly high: number;
}

/** The bits that leaves of the owner's tables can have. */
export const LEAF_BITS: LeafBits = {
  low: EntryLow.P | EntryLow.A | EntryLow.D | EntryLow.G | EntryLow.RW | EntryLow.US,
  high: EntryHigh.XD,
};

/** The owner's tables as bytes: 4-KiB leaves, and everywhere else an entry that says restart, or nothing. */
export interface HlatTables {
  readonly levels: PagingLevels;
  /** HLATP. */
  readonly pointer: Gpa;
  /** Pages of tables. */
  readonly pages: number;
  /** Maps one page. `false` when no frame, or no room in the window, is left for a table. */
  map(frame: VirtualFrame, gfn: Gfn, bits: LeafBits): boolean;
  /** Lists a page no longer. */
  unmap(frame: VirtualFrame): void;
  /** Gives all frames back. */
  free(): void;
}

/**
 * Tables that list nothing.
 *
 * @param install puts the page with this host frame into the guest's memory; `false` when that cannot be done
 * @throws {HypervisorError} when there is not even a frame for the root
 */
export function createHlatTables(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly frames: TableFrames;
  readonly levels: PagingLevels;
  /** First of {@link WINDOW_FRAMES} guest frames that are the tables'. */
  readonly window: Gfn;
  readonly restart: boolean;
  readonly install: (gfn: Gfn, pfn: Pfn) => boolean;
  readonly remove: (gfn: Gfn) => void;
}): HlatTables {
  const { memory, frames, levels, window, install } = options;
  const hole = options.restart ? EntryLow.P | EntryLow.R : 0;
  /** Host frames by place in the window. */
  const tables: Pfn[] = [];

  function words(gfn: Gfn): Uint32Array {
    const pfn = tables[gfn - window];
    const page = pfn === undefined ? undefined : memory.writablePage(pfn);
    if (page === undefined) throw new HypervisorError(`guest frame ${hex(gfn)} is not a table of the owner`);
    return page;
  }

  function create(): Gfn | undefined {
    if (tables.length === WINDOW_FRAMES) return undefined;
    const pfn = frames.allocate();
    if (pfn === undefined) return undefined;
    const gfn = (window + tables.length) as Gfn;
    if (!install(gfn, pfn)) {
      frames.free(pfn);
      return undefined;
    }
    tables.push(pfn);
    const page = words(gfn);
    page.fill(0);
    for (let word = 0; word < page.length; word += 2) page[word] = hole;
    return gfn;
  }

  const root = create();
  if (root === undefined) throw new HypervisorError('no host frame is left for the tables of HLAT paging');

  const wordOf = (frame: VirtualFrame, level: Level): number =>
    2 * (Math.floor(frame / framesOfLevel(level)) % 512);

  /** The table of `level` that has the entry for `frame`, made where `wanted`. */
  function tableFor(frame: VirtualFrame, wanted: boolean): Gfn | undefined {
    let table: Gfn = root as Gfn;
    for (let level = levels as Level; level > 1; level = (level - 1) as Level) {
      const word = wordOf(frame, level);
      const page = words(table);
      const low = page[word] ?? 0;
      if (low !== hole) {
        table = ((low >>> 12) + (page[word + 1] ?? 0) * 0x10_0000) as Gfn;
        continue;
      }
      const next = wanted ? create() : undefined;
      if (next === undefined) return undefined;
      write(page, word, next, TABLE, 0);
      table = next;
    }
    return table;
  }

  return {
    levels,
    pointer: addressOf(root),
    get pages() {
      return tables.length;
    },
    map(frame, gfn, { low, high }) {
      const table = tableFor(frame, true);
      if (table === undefined) return false;
      write(words(table), wordOf(frame, 1), gfn, low, high);
      return true;
    },
    unmap(frame) {
      const table = tableFor(frame, false);
      if (table === undefined) return;
      const page = words(table);
      const word = wordOf(frame, 1);
      page[word] = hole;
      page[word + 1] = 0;
    },
    free() {
      for (const [place, pfn] of tables.entries()) {
        options.remove((window + place) as Gfn);
        frames.free(pfn);
      }
      tables.length = 0;
    },
  };
}

function write(page: Uint32Array, word: number, gfn: number, low: number, high: number): void {
  page[word] = (gfn % 0x10_0000) * 4096 + low;
  page[word + 1] = high + Math.floor(gfn / 0x10_0000);
}
