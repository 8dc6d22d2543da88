import { type Gfn, type U64, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import type { PagingLevels } from '../canonical.ts';
import {
  EntryHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  isLeaf,
  type LeafLevel,
  type Level,
} from '../entries/entry.ts';
import { DEFAULT_TABLE_BUDGET } from '../mappings/mapping-walk.ts';
import { type AddressSpaceTables, entryOf, toLarge, toPte } from './tables.ts';

/** Virtual frames `start` .. `end` - 1 whose cached translations may be stale. */
export interface StaleRange {
  readonly start: VirtualFrame;
  /** Exclusive. */
  readonly end: VirtualFrame;
}

/** The outcome of an edit of an address space. */
export interface EditResult {
  /** `undefined`: all was done. Else everything before this virtual frame was done, and nothing from it on. */
  readonly stoppedAt: VirtualFrame | undefined;
  /**
   * Why it stopped: no frame is left for a table, a table lies where there is no memory, or more tables had to be
   * visited than an edit may.
   */
  readonly why: 'no-table-frame' | 'absent-table' | 'budget' | undefined;
  /**
   * What must be flushed on every processor that uses the tables, sorted, not touching each other. New mappings and
   * added rights need no flush (SDM 3A 4.10.4.3). Freed table pages may be reused only after the flush.
   */
  readonly stale: readonly StaleRange[];
}

/** Bits to clear and then to set in leaves; laid out as in a PTE (bit 7 is PAT), without P and the address. */
export interface LeafBitChange {
  readonly clear: U64;
  readonly set: U64;
}

const { P, RW, US, A, D, PWT, PCD, G, PAT } = EntryLow;
const { XD, KEY } = EntryHigh;

/** What an edit does. Table pages and ranges are the business of {@link AddressSpaceEdit}. */
interface Operation {
  /** Whether an entry of `level` that lies wholly in the range, from virtual frame `from` on, becomes a leaf in any case. */
  readonly replaces: (level: Level, from: number) => boolean;
  /** The new halves of the leaf of `level` from virtual frame `from` on; the old ones are 0 for {@link replaces}. */
  readonly leaf: (level: LeafLevel, from: number, low: number, high: number) => readonly [number, number];
  /** What becomes of entries that are not present: tables for leaves are made there, they become 0, or stay. */
  readonly holes: 'fill' | 'clear' | 'keep';
}

/** One edit under way: a pass over the tables of the range, root first, frames in order. */
export class AddressSpaceEdit {
  readonly #tables: AddressSpaceTables;
  readonly #root: Gfn;
  readonly #levels: PagingLevels;
  readonly #start: number;
  readonly #end: number;
  readonly #stale: { start: VirtualFrame; end: VirtualFrame }[] = [];
  #stoppedAt: number | undefined;
  #why: EditResult['why'];
  #visited = 0;

  constructor(
    tables: AddressSpaceTables,
    root: Gfn,
    levels: PagingLevels,
    start: VirtualFrame,
    end: VirtualFrame,
  ) {
    this.#tables = tables;
    this.#root = root;
    this.#levels = levels;
    this.#start = start;
    this.#end = end;
  }

  map(target: Gfn, bits: U64, largest: LeafLevel): EditResult {
    const frameAt = (from: number) => target + from - this.#start;
    return this.#run({
      holes: 'fill',
      replaces: (level, from) => level <= largest && frameAt(from) % framesOfLevel(level) === 0,
      leaf: (level, from) => {
        const [low, high] = entryOf(frameAt(from));
        return [low | (level === 1 ? bits.low : toLarge(bits.low)), high | bits.high];
      },
    });
  }

  unmap(): EditResult {
    return this.#run({ holes: 'clear', replaces: () => false, leaf: () => [0, 0] });
  }

  change({ clear, set }: LeafBitChange): EditResult {
    return this.#run({
      holes: 'keep',
      replaces: () => false,
      leaf: (level, _from, low, high) => {
        const changed = ((level === 1 ? low : toPte(low)) & ~clear.low) | set.low;
        return [level === 1 ? changed : toLarge(changed), (high & ~clear.high) | set.high];
      },
    });
  }

  /** Splits the leaf over the first frame of the range down to `level`, by changing nothing in one leaf of that level. */
  split(level: LeafLevel): EditResult {
    const span = framesOfLevel(level);
    const from = this.#start - (this.#start % span);
    const whole = new AddressSpaceEdit(
      this.#tables,
      this.#root,
      this.#levels,
      from as VirtualFrame,
      (from + span) as VirtualFrame,
    );
    const none = { low: 0, high: 0 };
    return whole.change({ clear: none, set: none });
  }

  #run(operation: Operation): EditResult {
    if (this.#start < this.#end) {
      const size = 512 * framesOfLevel(this.#levels);
      const base = this.#start < VIRTUAL_FRAME_END / 2 ? 0 : VIRTUAL_FRAME_END - size;
      this.#table(operation, this.#levels, this.#root, base);
    }
    return {
      stoppedAt: this.#stoppedAt as VirtualFrame | undefined,
      why: this.#why,
      stale: this.#stale as readonly StaleRange[],
    };
  }

  #table(operation: Operation, level: Level, table: Gfn, base: number): void {
    const page = this.#tables.page(table);
    if (page === undefined || this.#visited === DEFAULT_TABLE_BUDGET) {
      this.#stop(base, page === undefined ? 'absent-table' : 'budget');
      return;
    }
    this.#visited++;
    const span = framesOfLevel(level);
    const first = Math.max(0, Math.floor((this.#start - base) / span));
    const last = Math.min(512, Math.ceil((this.#end - base) / span));
    for (let slot = first; slot < last && this.#stoppedAt === undefined; slot++) {
      this.#entry(operation, level, table, page, slot, base + slot * span);
    }
  }

  #entry(
    operation: Operation,
    level: Level,
    table: Gfn,
    page: Uint32Array,
    slot: number,
    from: number,
  ): void {
    const low = page[2 * slot] ?? 0;
    const high = page[2 * slot + 1] ?? 0;
    const present = (low & P) !== 0;
    const whole = from >= this.#start && from + framesOfLevel(level) <= this.#end;

    if (whole && canBeLeaf(level) && operation.replaces(level, from)) {
      const [newLow, newHigh] = operation.leaf(level, from, 0, 0);
      if (present && !isLeaf(low, level)) {
        this.#tables.freeUnder(table, slot, entryFrame(low, high), (level - 1) as Level);
        this.#addStale(from, level);
      } else if (present && losesRights(level, low, high, newLow, newHigh)) this.#addStale(from, level);
      page[2 * slot] = newLow;
      page[2 * slot + 1] = newHigh;
      return;
    }
    if (whole && present && isLeaf(low, level) && operation.holes !== 'fill') {
      const [newLow, newHigh] = operation.leaf(level, from, low, high);
      if (losesRights(level, low, high, newLow, newHigh)) this.#addStale(from, level);
      page[2 * slot] = newLow;
      page[2 * slot + 1] = newHigh;
      return;
    }

    if (whole && !present && operation.holes === 'clear') {
      page[2 * slot] = 0;
      page[2 * slot + 1] = 0;
      return;
    }
    const child = this.#childOf(operation, level, table, slot, from, low, high);
    if (child === undefined) return;
    this.#table(operation, (level - 1) as Level, child, from);
    if (this.#tables.owns(child, table, slot) && this.#tables.isEmpty(child)) {
      this.#tables.freeUnder(table, slot, child, (level - 1) as Level);
      page[2 * slot] = 0;
      page[2 * slot + 1] = 0;
    }
  }

  /** The table under an entry, made where the edit needs one. `undefined`: nothing to do below, or stopped. */
  #childOf(
    operation: Operation,
    level: Level,
    table: Gfn,
    slot: number,
    from: number,
    low: number,
    high: number,
  ): Gfn | undefined {
    const present = (low & P) !== 0;
    if (present && !isLeaf(low, level)) return entryFrame(low, high);
    if (!present && operation.holes !== 'fill') return undefined;
    let child: Gfn | undefined;
    if (!present) child = this.#tables.createUnder(table, slot);
    else {
      child = this.#tables.split(table, slot, level as 2 | 3);
      if (child !== undefined) this.#addStale(from, level);
    }
    if (child === undefined) this.#stop(from, 'no-table-frame');
    return child;
  }

  #stop(from: number, why: NonNullable<EditResult['why']>): void {
    this.#stoppedAt = Math.max(from, this.#start);
    this.#why = why;
  }

  #addStale(from: number, level: Level): void {
    const end = (from + framesOfLevel(level)) as VirtualFrame;
    const last = this.#stale.at(-1);
    if (last !== undefined && from <= last.end) last.end = Math.max(last.end, end) as VirtualFrame;
    else this.#stale.push({ start: from as VirtualFrame, end });
  }
}

function canBeLeaf(level: Level): level is LeafLevel {
  return level <= 3;
}

/**
 * Whether a cached copy of the old leaf would allow or do what the new one does not (SDM 3A 4.10.4.2, 4.10.4.3). Adding
 * R/W or U/S, clearing XD and setting A or D do not count; bits that the processor ignores neither.
 */
function losesRights(level: Level, low: number, high: number, newLow: number, newHigh: number): boolean {
  const old = level === 1 ? low : toPte(low);
  const now = level === 1 ? newLow : toPte(newLow);
  return (
    (old & ~now & (P | RW | US | A | D)) !== 0 ||
    ((old ^ now) & (PWT | PCD | PAT | G)) !== 0 ||
    (~high & newHigh & XD) !== 0 ||
    ((high ^ newHigh) & KEY) !== 0 ||
    entryFrame(old, high) !== entryFrame(now, newHigh)
  );
}
