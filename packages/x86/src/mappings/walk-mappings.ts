import type { Gfn, PageView, PhysicalMemory, VirtualFrame } from '@heki/physical-memory';
import {
  addressHigh,
  EntryLow,
  entryFrame,
  framesOfLevel,
  type LeafLevel,
  type Level,
} from '../entries/entry.ts';
import { PageRights } from '../entries/page-rights.ts';
import {
  canonicalHalves,
  checkVirtualRange,
  DEFAULT_TABLE_BUDGET,
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
  type SharedTable,
  type WalkedHalf,
} from './mapping-walk.ts';
import { HARDWARE_PRESENCE, type PresencePolicy } from './presence-policy.ts';
import { findSharedTables, isWhole, sharedTable, type TableContexts } from './table-contexts.ts';

const { P, RW, US } = EntryLow;
const ALL_RIGHTS = RW | US;

/**
 * Visits the mappings of the virtual frames `start` .. `end` - 1 in order, clipped to that range. Frames that are not
 * canonical are passed over, and so is what was visited already where several entries lead to one table
 * ({@link MappingWalkOptions.sharedTables}). Reserved bits are not looked at.
 *
 * The visitor gets one and the same object every time: it must copy what it keeps, and must not change the tables.
 *
 * @throws {X86Error} when `start` or `end` is not a virtual frame number
 */
export function walkMappings(
  options: MappingWalkOptions,
  start: VirtualFrame,
  end: VirtualFrame,
  visit: (leaf: MappingLeaf) => void,
): MappingWalkResult {
  checkVirtualRange(start, end);
  const contexts = findSharedTables(options, start, end);
  const walk = new MappingWalk(options, contexts, visit);
  for (const half of canonicalHalves(options.levels, start, end)) walk.half(half);
  const { stoppedAt, leaves, mappings, tables, absentTables, sharedPlaces } = walk;
  const tablesAtSeveralLevels = contexts?.atSeveralLevels ?? 0;
  return { stoppedAt, leaves, mappings, tables, absentTables, sharedPlaces, tablesAtSeveralLevels };
}

/** The object that visitors see. */
class Leaf implements MappingLeaf {
  virtualFrame = 0 as VirtualFrame;
  guestFrame = 0 as Gfn;
  frames = 0;
  level: LeafLevel = 1;
  low = 0;
  high = 0;
  effective = 0;
  places = 1;
}

/** One walk: its settings and its result so far. */
class MappingWalk {
  stoppedAt: VirtualFrame | undefined;
  leaves = 0;
  mappings = 0;
  tables = 0;
  absentTables = 0;
  sharedPlaces = 0;

  readonly #memory: PhysicalMemory<Gfn>;
  readonly #root: Gfn;
  readonly #levels: number;
  readonly #presence: PresencePolicy;
  readonly #budget: number;
  /** Absent where no table has more than one place. */
  readonly #contexts: TableContexts | undefined;
  readonly #onShared: ((place: SharedTable) => void) | undefined;
  /** The bits of an entry's high half that are address bits, and a frame in which all address bits are set. */
  readonly #addressBits: number;
  readonly #lastFrame: number;
  readonly #visit: (leaf: MappingLeaf) => void;
  readonly #leaf = new Leaf();
  /** The half that is being walked. */
  #start = 0;
  #end = 0;

  constructor(
    options: MappingWalkOptions,
    contexts: TableContexts | undefined,
    visit: (leaf: MappingLeaf) => void,
  ) {
    this.#memory = options.memory;
    this.#root = options.root;
    this.#levels = options.levels;
    this.#presence = options.presence ?? HARDWARE_PRESENCE;
    this.#budget = options.budget ?? DEFAULT_TABLE_BUDGET;
    this.#contexts = contexts;
    this.#onShared = options.onShared;
    this.#addressBits = addressHigh(options.encryptionBit);
    this.#lastFrame = entryFrame(~0, ~0, this.#addressBits);
    this.#visit = visit;
  }

  half({ base, start, end }: WalkedHalf): void {
    if (this.stoppedAt !== undefined) return;
    this.#start = start;
    this.#end = end;
    this.#table(this.#levels, this.#root, base, ALL_RIGHTS, 0, 1);
  }

  /**
   * Walks the part of a table that lies in the half.
   *
   * @param base the virtual frame of slot 0
   * @param common R/W and U/S of all entries above
   * @param executeDisable 1 when an entry above has XD
   * @returns the mappings of this place
   */
  #table(
    level: number,
    table: Gfn,
    base: number,
    common: number,
    executeDisable: number,
    places: number,
  ): number {
    const start = this.#start;
    const end = this.#end;
    if (this.tables + this.absentTables >= this.#budget) {
      this.stoppedAt = Math.max(start, base) as VirtualFrame;
      return 0;
    }
    const page = this.#memory.page(table);
    if (page === undefined) {
      this.absentTables++;
      return 0;
    }
    this.tables++;
    const span = framesOfLevel(level as Level);
    // As small integers: doubles would make the slots of the loops doubles.
    const first = start > base ? ((start - base) / span) | 0 : 0;
    const last = end < base + 512 * span ? Math.ceil((end - base) / span) | 0 : 512;
    this.#leaf.places = places;
    if (level === 1) {
      const leaves = this.#pageTable(page, base, first, last, common, executeDisable);
      this.leaves += leaves;
      this.mappings += leaves * places;
      return leaves;
    }

    const present = this.#presence.present[level as Level];
    // No entry above a PDPTE is a leaf; one with PS set is still followed, as operating systems do.
    const leaf = level <= 3 ? (this.#presence.leaf[level as 2 | 3] ?? 0) : 0;
    let mappings = 0;
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0) continue;
      const high = page[2 * slot + 1] ?? 0;
      const from = base + slot * span;
      const rights = common & low;
      const disabled = executeDisable | (high >>> 31);
      if (leaf !== 0 && (low & leaf) === leaf) {
        this.#largeLeaf(level as LeafLevel, from, low, high, rights, disabled);
        this.mappings += places;
        mappings++;
        continue;
      }
      const child = entryFrame(low, high, this.#addressBits);
      mappings +=
        this.#contexts === undefined
          ? this.#table(level - 1, child, from, rights, disabled, places)
          : this.#place(this.#contexts, level - 1, child, from, rights, disabled);
      if (this.stoppedAt !== undefined) return mappings;
      this.#leaf.places = places;
    }
    return mappings;
  }

  /** Walks a table where there are shared ones: if it stands there as a whole, only at the first of its places. */
  #place(
    contexts: TableContexts,
    level: number,
    table: Gfn,
    base: number,
    common: number,
    executeDisable: number,
  ): number {
    const whole = isWhole(level, base, this.#start, this.#end);
    const context = whole ? contexts.find(table, level, common, executeDisable) : undefined;
    // A table that was cut has this place only; a context that is not known came by a change of the tables under way.
    if (context === undefined) return this.#table(level, table, base, common, executeDisable, 1);
    if (context.visitedAt === undefined) {
      context.visitedAt = base;
      context.mappings = this.#table(level, table, base, common, executeDisable, context.places);
      return context.mappings;
    }
    if (context.mappings > 0) {
      this.sharedPlaces++;
      this.#onShared?.(sharedTable(context, base));
    }
    return context.mappings;
  }

  #pageTable(
    page: PageView,
    base: number,
    first: number,
    last: number,
    common: number,
    executeDisable: number,
  ): number {
    const leaf = this.#leaf;
    const visit = this.#visit;
    const present = this.#presence.present[1];
    const inverted = this.#presence.invertedWhenNotPresent ? P : 0;
    const addressBits = this.#addressBits;
    const lastFrame = this.#lastFrame;
    leaf.level = 1;
    leaf.frames = 1;
    let leaves = 0;
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0) continue;
      const high = page[2 * slot + 1] ?? 0;
      // `entryFrame`, written out: the call costs a tenth of the walk.
      const frame = (low >>> 12) + (high & addressBits) * 0x10_0000;
      leaf.virtualFrame = (base + slot) as VirtualFrame;
      leaf.guestFrame = ((~low & inverted) === 0 ? frame : lastFrame - frame) as Gfn;
      leaf.low = low;
      leaf.high = high;
      leaf.effective = (common & low) | ((executeDisable | (high >>> 31)) * PageRights.EXECUTE_DISABLE);
      leaves++;
      visit(leaf);
    }
    return leaves;
  }

  /** @param rights, executeDisable those of the leaf, too */
  #largeLeaf(
    level: LeafLevel,
    from: number,
    low: number,
    high: number,
    rights: number,
    executeDisable: number,
  ): void {
    const leaf = this.#leaf;
    const span = framesOfLevel(level);
    const clippedFrom = Math.max(from, this.#start);
    const stored = entryFrame(low, high, this.#addressBits);
    const inverted = this.#presence.invertedWhenNotPresent && (low & P) === 0;
    const frame = inverted ? this.#lastFrame - stored : stored;
    leaf.virtualFrame = clippedFrom as VirtualFrame;
    leaf.guestFrame = (frame - (frame % span) + clippedFrom - from) as Gfn;
    leaf.frames = Math.min(from + span, this.#end) - clippedFrom;
    leaf.level = level;
    leaf.low = low;
    leaf.high = high;
    leaf.effective = rights | (executeDisable * PageRights.EXECUTE_DISABLE);
    this.leaves++;
    this.#visit(leaf);
  }
}
