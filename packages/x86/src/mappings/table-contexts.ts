import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { addressHigh, EntryLow, entryFrame, framesOfLevel, type Level } from '../entries/entry.ts';
import { FrameSet } from './frame-set.ts';
import {
  canonicalHalves,
  DEFAULT_TABLE_BUDGET,
  type MappingWalkOptions,
  type SharedTable,
  type WalkedHalf,
} from './mapping-walk.ts';
import { HARDWARE_PRESENCE } from './presence-policy.ts';

const { RW, US } = EntryLow;
const ALL_RIGHTS = RW | US;
/** A range with fewer virtual frames has no room for two places of the smallest table. */
const SMALLEST_RANGE = 2 * 512;

/**
 * A table as entries of one level, under the same rights over all levels above. It maps the same at all its places, but for the
 * addresses, and is visited at one of them.
 */
export class TableContext {
  readonly table: Gfn;
  readonly level: number;
  /** R/W and U/S of all entries above. */
  readonly common: number;
  /** 1 when an entry above has XD. */
  readonly executeDisable: number;
  /** The virtual frame of slot 0 at a place, and the half that it lies in. */
  readonly base: number;
  readonly half: WalkedHalf;
  /** The same table in another context. */
  readonly sibling: TableContext | undefined;
  /** How many places it has in the range. */
  places: number;
  /** The place where a walk has visited it. */
  visitedAt: number | undefined;
  /** Mappings in a place, once it was visited. */
  mappings = 0;

  constructor(
    table: Gfn,
    level: number,
    common: number,
    executeDisable: number,
    base: number,
    half: WalkedHalf,
    places: number,
    sibling: TableContext | undefined,
  ) {
    this.table = table;
    this.level = level;
    this.common = common;
    this.executeDisable = executeDisable;
    this.base = base;
    this.half = half;
    this.places = places;
    this.sibling = sibling;
  }
}

/** Whether the table of `level` with slot 0 at `base` lies in `start` .. `end` - 1 as a whole. */
export function isWhole(level: number, base: number, start: number, end: number): boolean {
  return base >= start && base + 512 * framesOfLevel(level as Level) <= end;
}

/** What is told of a place of a table that was visited elsewhere. */
export function sharedTable({ table, level, visitedAt, mappings }: TableContext, base: number): SharedTable {
  return {
    virtualFrame: base as VirtualFrame,
    frames: 512 * framesOfLevel(level as Level),
    table,
    level: level as Level,
    visitedAt: (visitedAt ?? base) as VirtualFrame,
    mappings,
  };
}

/** The contexts of the tables in a range, or `undefined` where no table has more than one place. */
export function findSharedTables(
  options: MappingWalkOptions,
  start: VirtualFrame,
  end: VirtualFrame,
): TableContexts | undefined {
  if (options.sharedTables === 'each' || !isAnyTableMetTwice(options, start, end)) return undefined;
  return new TableContexts(options, start, end);
}

/**
 * Whether entries of a range lead twice to one frame, at whatever level. Where they do not, as in most kernels, a walk has nothing to
 * look up; finding that out costs much less than the contexts do.
 */
function isAnyTableMetTwice(options: MappingWalkOptions, start: VirtualFrame, end: VirtualFrame): boolean {
  if (end - start < SMALLEST_RANGE) return false;
  const { memory, root, levels, presence = HARDWARE_PRESENCE, budget = DEFAULT_TABLE_BUDGET } = options;
  const addressBits = addressHigh(options.encryptionBit);
  const met = new FrameSet();
  met.add(root);
  let count = 0;
  const isMetUnder = (table: Gfn, level: Level, base: number, half: WalkedHalf): boolean => {
    const page = memory.page(table);
    if (page === undefined) return false;
    const span = framesOfLevel(level);
    const present = presence.present[level];
    const leaf = level <= 3 ? (presence.leaf[level as 2 | 3] ?? 0) : 0;
    const first = Math.max(0, Math.floor((half.start - base) / span));
    const last = Math.min(512, Math.ceil((half.end - base) / span));
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0 || (leaf !== 0 && (low & leaf) === leaf)) continue;
      const child = entryFrame(low, page[2 * slot + 1] ?? 0, addressBits);
      if (!met.add(child)) return true;
      if (++count > budget) return false;
      if (level > 2 && isMetUnder(child, (level - 1) as Level, base + slot * span, half)) return true;
    }
    return false;
  };
  return canonicalHalves(levels, start, end).some((half) => isMetUnder(root, levels, half.base, half));
}

/**
 * The contexts of all tables that stand in a range as a whole. They are found level by level: when all tables of a level are known, so are
 * their places, and each is looked through once, however many it has. Page tables, which are most, are not looked into.
 */
export class TableContexts {
  readonly #options: MappingWalkOptions;
  readonly #byFrame = new Map<Gfn, TableContext>();
  /** Contexts of the level that is being found, cut ones too. */
  #found: TableContext[] = [];
  readonly #atSeveralLevels = new Set<Gfn>();

  constructor(options: MappingWalkOptions, start: VirtualFrame, end: VirtualFrame) {
    this.#options = options;
    const { root, levels, budget = DEFAULT_TABLE_BUDGET } = options;
    const halves = canonicalHalves(levels, start, end);
    let above = halves.map(
      (half) => new TableContext(root, levels, ALL_RIGHTS, 0, half.base, half, 1, undefined),
    );
    let count = above.length;
    for (let level: number = levels; level > 1 && count <= budget; level--) {
      this.#found = [];
      for (const context of above) {
        this.#lookThrough(context);
        if (count + this.#found.length > budget) break;
      }
      above = this.#found;
      count += above.length;
    }
  }

  /** Tables that stand at more than one level. */
  get atSeveralLevels(): number {
    return this.#atSeveralLevels.size;
  }

  /** `undefined` for a context that is not known: its table is cut, or came by a change of the tables meanwhile. */
  find(table: Gfn, level: number, common: number, executeDisable: number): TableContext | undefined {
    let context = this.#byFrame.get(table);
    while (
      context !== undefined &&
      (context.level !== level || context.common !== common || context.executeDisable !== executeDisable)
    ) {
      context = context.sibling;
    }
    return context;
  }

  /** Finds the tables under the entries of one. */
  #lookThrough(above: TableContext): void {
    const { memory, presence = HARDWARE_PRESENCE, encryptionBit } = this.#options;
    const addressBits = addressHigh(encryptionBit);
    const page = memory.page(above.table);
    if (page === undefined) return;
    const level = above.level as Level;
    const span = framesOfLevel(level);
    const present = presence.present[level];
    const leaf = level <= 3 ? (presence.leaf[level as 2 | 3] ?? 0) : 0;
    const { start, end } = above.half;
    const first = Math.max(0, Math.floor((start - above.base) / span));
    const last = Math.min(512, Math.ceil((end - above.base) / span));
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0 || (leaf !== 0 && (low & leaf) === leaf)) continue;
      const high = page[2 * slot + 1] ?? 0;
      this.#add(
        above,
        entryFrame(low, high, addressBits),
        above.base + slot * span,
        above.common & low,
        above.executeDisable | (high >>> 31),
      );
    }
  }

  #add(above: TableContext, table: Gfn, base: number, common: number, executeDisable: number): void {
    const level = above.level - 1;
    const { half, places } = above;
    if (!isWhole(level, base, half.start, half.end)) {
      this.#found.push(new TableContext(table, level, common, executeDisable, base, half, 1, undefined));
      return;
    }
    const newest = this.#byFrame.get(table);
    if (newest !== undefined) {
      const known = this.find(table, level, common, executeDisable);
      if (known !== undefined) {
        known.places += places;
        return;
      }
    }
    const seenAtLevel = newest?.level ?? (table === this.#options.root ? this.#options.levels : level);
    if (seenAtLevel !== level) this.#atSeveralLevels.add(table);
    const context = new TableContext(table, level, common, executeDisable, base, half, places, newest);
    this.#byFrame.set(table, context);
    this.#found.push(context);
  }
}
