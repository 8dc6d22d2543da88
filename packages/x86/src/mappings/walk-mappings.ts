import {
  type Gfn,
  type PageView,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualFrame,
} from '@heki/physical-memory';
import { lowerHalfEnd, upperHalfStart } from '../canonical.ts';
import { EntryLow, entryFrame, framesOfLevel, type LeafLevel, type Level } from '../entries/entry.ts';
import { PageRights } from '../entries/page-rights.ts';
import {
  checkVirtualRange,
  DEFAULT_TABLE_BUDGET,
  HARDWARE_PRESENCE,
  type MappingLeaf,
  type MappingWalkOptions,
  type MappingWalkResult,
  type PresencePolicy,
} from './mapping-walk.ts';

const { P, RW, US } = EntryLow;
const ALL_RIGHTS = RW | US;

/**
 * Visits the mappings of the virtual frames `start` .. `end` - 1 in order, clipped to that range. Frames that are not
 * canonical are passed over. Reserved bits are not looked at.
 *
 * The visitor gets one and the same object every time: it must copy what it keeps, and must not change the tables.
 *
 * @throws {X86Error} when `start` or `end` is no virtual frame number
 */
export function walkMappings(
  options: MappingWalkOptions,
  start: VirtualFrame,
  end: VirtualFrame,
  visit: (leaf: MappingLeaf) => void,
): MappingWalkResult {
  checkVirtualRange(start, end);
  const walk = new MappingWalk(options, visit);
  walk.half(0, start, Math.min(end, lowerHalfEnd(options.levels)));
  walk.half(
    VIRTUAL_FRAME_END - framesOfLevel(options.levels) * 512,
    Math.max(start, upperHalfStart(options.levels)),
    end,
  );
  const { stoppedAt, leaves, tables, absentTables } = walk;
  return { stoppedAt, leaves, tables, absentTables };
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
}

/** One walk: its settings and what came of it so far. */
class MappingWalk {
  stoppedAt: VirtualFrame | undefined;
  leaves = 0;
  tables = 0;
  absentTables = 0;

  readonly #memory: PhysicalMemory<Gfn>;
  readonly #root: Gfn;
  readonly #levels: number;
  readonly #presence: PresencePolicy;
  readonly #budget: number;
  readonly #visit: (leaf: MappingLeaf) => void;
  readonly #leaf = new Leaf();

  constructor(options: MappingWalkOptions, visit: (leaf: MappingLeaf) => void) {
    this.#memory = options.memory;
    this.#root = options.root;
    this.#levels = options.levels;
    this.#presence = options.presence ?? HARDWARE_PRESENCE;
    this.#budget = options.budget ?? DEFAULT_TABLE_BUDGET;
    this.#visit = visit;
  }

  /** Walks one canonical half. `base` is the virtual frame that slot 0 of the root would stand for in it. */
  half(base: number, start: number, end: number): void {
    if (start < end && this.stoppedAt === undefined) {
      this.#table(this.#levels, this.#root, base, start, end, ALL_RIGHTS, 0);
    }
  }

  /**
   * Walks the part of a table that lies in `start` .. `end` - 1.
   *
   * @param base the virtual frame of slot 0
   * @param common R/W and U/S of all entries above
   * @param executeDisable 1 when an entry above has XD
   */
  #table(
    level: number,
    table: Gfn,
    base: number,
    start: number,
    end: number,
    common: number,
    executeDisable: number,
  ): void {
    if (this.tables >= this.#budget) {
      this.stoppedAt = Math.max(start, base) as VirtualFrame;
      return;
    }
    const page = this.#memory.page(table);
    if (page === undefined) {
      this.absentTables++;
      return;
    }
    this.tables++;
    const span = framesOfLevel(level as Level);
    // As small integers: doubles would make the slots of the loops doubles.
    const first = start > base ? ((start - base) / span) | 0 : 0;
    const last = end < base + 512 * span ? Math.ceil((end - base) / span) | 0 : 512;
    if (level === 1) {
      this.#pageTable(page, base, first, last, common, executeDisable);
      return;
    }

    const present = this.#presence.present[level as Level];
    // No entry above a PDPTE is a leaf; one with PS set is still followed, as operating systems do.
    const canBeLeaf = level <= 3;
    const { leaf } = this.#presence;
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0) continue;
      const high = page[2 * slot + 1] ?? 0;
      const from = base + slot * span;
      if (canBeLeaf && (low & leaf) === leaf) {
        this.#largeLeaf(
          level as LeafLevel,
          from,
          start,
          end,
          low,
          high,
          common & low,
          executeDisable | (high >>> 31),
        );
        continue;
      }
      this.#table(
        level - 1,
        entryFrame(low, high),
        from,
        start,
        end,
        common & low,
        executeDisable | (high >>> 31),
      );
      if (this.stoppedAt !== undefined) return;
    }
  }

  #pageTable(
    page: PageView,
    base: number,
    first: number,
    last: number,
    common: number,
    executeDisable: number,
  ): void {
    const leaf = this.#leaf;
    const visit = this.#visit;
    const present = this.#presence.present[1];
    const inverted = this.#presence.invertedWhenNotPresent ? P : 0;
    leaf.level = 1;
    leaf.frames = 1;
    for (let slot = first; slot < last; slot++) {
      const low = page[2 * slot] ?? 0;
      if ((low & present) === 0) continue;
      const high = page[2 * slot + 1] ?? 0;
      const frame = entryFrame(low, high);
      leaf.virtualFrame = (base + slot) as VirtualFrame;
      leaf.guestFrame = ((~low & inverted) === 0 ? frame : 2 ** 40 - 1 - frame) as Gfn;
      leaf.low = low;
      leaf.high = high;
      leaf.effective = (common & low) | ((executeDisable | (high >>> 31)) * PageRights.EXECUTE_DISABLE);
      this.leaves++;
      visit(leaf);
    }
  }

  #largeLeaf(
    level: LeafLevel,
    from: number,
    start: number,
    end: number,
    low: number,
    high: number,
    common: number,
    executeDisable: number,
  ): void {
    const leaf = this.#leaf;
    const span = framesOfLevel(level);
    const clippedFrom = Math.max(from, start);
    const frame = entryFrame(low, high);
    leaf.virtualFrame = clippedFrom as VirtualFrame;
    leaf.guestFrame = (frame - (frame % span) + clippedFrom - from) as Gfn;
    leaf.frames = Math.min(from + span, end) - clippedFrom;
    leaf.level = level;
    leaf.low = low;
    leaf.high = high;
    leaf.effective = common | (executeDisable * PageRights.EXECUTE_DISABLE);
    this.leaves++;
    this.#visit(leaf);
  }
}
