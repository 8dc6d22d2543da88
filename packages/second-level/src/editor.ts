import type { Gfn, Pfn, PhysicalMemory, U64 } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import { Edit, type LeafChange, type SecondLevelEdit } from './edit.ts';
import { SecondLevelEditorError, type SecondLevelFormat, type TableFrames } from './format.ts';
import { entryWord, frameIn, spanOf, TableStore } from './table-store.ts';

/** A leaf as it stands in the tables. */
export interface SecondLevelLeaf {
  /** The first guest frame that it maps. */
  readonly gfn: Gfn;
  /** 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB). */
  readonly level: number;
  /** The first host frame that it maps to. */
  readonly pfn: Pfn;
  /** The whole entry, address included. */
  readonly entry: U64;
}

/** Second-level tables in host memory, and all that changes them. Guest-physical ranges are `start` .. `end` - 1. */
export interface SecondLevelEditor {
  /** The frame of the root table. */
  readonly root: Pfn;
  /** Table pages in use, the root included. */
  readonly tables: number;
  /**
   * Maps the range to the host frames from `target` on with the largest legal leaves, in place of what was there.
   * `bits` is a leaf entry without address and leaf bit. Tables whose entries then agree become one leaf.
   */
  map(start: Gfn, end: Gfn, target: Pfn, bits: U64): SecondLevelEdit;
  /**
   * Installs one leaf at `level` (1..3) over `gfn`, which must be aligned to it as `target` must; a larger leaf in
   * the way is split, a table in the way is freed. Never merges: what KVM does for a fault.
   */
  installLeaf(gfn: Gfn, level: number, target: Pfn, bits: U64): SecondLevelEdit;
  /** Makes the range absent, exactly: leaves that straddle its ends are split. Empty tables are freed. */
  unmap(start: Gfn, end: Gfn): SecondLevelEdit;
  /** Makes every leaf absent that touches the range, straddling ones as a whole. Never needs a frame. Empty tables are freed. */
  zap(start: Gfn, end: Gfn): SecondLevelEdit;
  /**
   * Changes bits of every leaf in the range (absent frames stay absent), splitting what straddles its ends and
   * merging tables whose entries then agree. A leaf left without any right becomes absent.
   */
  update(start: Gfn, end: Gfn, change: LeafChange): SecondLevelEdit;
  /** Splits the leaf over `gfn`, if it is above `level`, down to `level`. */
  split(gfn: Gfn, level: number): SecondLevelEdit;
  /** Makes one leaf of every table under the range whose entries agree. */
  merge(start: Gfn, end: Gfn): SecondLevelEdit;
  /** The leaf that maps `gfn`. */
  leaf(gfn: Gfn): SecondLevelLeaf | undefined;
  /**
   * Visits the leaves that touch the range, in order; `low` and `high` are the whole entry. The visitor may look at others, and is refused when it
   * edits: tables that the walk is in would be freed under it.
   */
  forEachLeaf(
    start: Gfn,
    end: Gfn,
    visit: (gfn: Gfn, level: number, low: number, high: number) => void,
  ): void;
  /** What brings back {@link tables}, for who brings memory and frames back. */
  checkpoint(): () => void;
  /** Frees all tables, the root included. The editor must not be used afterwards. */
  free(): void;
}

/**
 * An editor of second-level tables in `memory`, in the given `format`.
 *
 * @param options.frames where table pages come from; each must be present in `memory`
 * @param options.root the root of tables that an editor of the same format built; a new, empty root when left out
 * @throws {SecondLevelEditorError} when there is no frame for the root, and for a number of levels other than 4 or 5
 */
export function createSecondLevelEditor(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly frames: TableFrames;
  readonly format: SecondLevelFormat;
  readonly root?: Pfn | undefined;
}): SecondLevelEditor {
  const { memory, frames, format } = options;
  const { levels } = format;
  if (levels !== 4 && levels !== 5) {
    throw new SecondLevelEditorError(`${JSON.stringify(levels)} levels of tables: expected 4 or 5`);
  }
  const tables = new TableStore(memory, frames, format);
  if (options.root !== undefined) tables.count = countTables(tables, options.root, levels);
  const root = options.root ?? tables.create();
  if (root === undefined) throw new SecondLevelEditorError('no host frame is left for the root table');
  /** Bits of the low half that the editor itself writes in leaves. */
  const fixed = format.leaf.mask | 0xffff_f000;
  const leafBits = `bit ${Math.log2(format.leaf.mask)}`;
  const frameEnd = Math.min(512 ** levels, 2 ** 40);

  /** Walks that are under way, one within the other. */
  let walks = 0;
  const refuseWhileWalked = (): void => {
    if (walks > 0) {
      throw new SecondLevelEditorError(
        'the tables are edited from within a walk over their leaves: expected to be left alone until it ends',
      );
    }
  };
  const checkRange = (start: Gfn, end: Gfn): void => {
    if (
      !(
        Number.isSafeInteger(start) &&
        Number.isSafeInteger(end) &&
        start >= 0 &&
        start <= end &&
        end <= frameEnd
      )
    ) {
      throw new SecondLevelEditorError(
        `frames ${hex(start)}-${hex(end)} are not a range: expected start <= end, both from 0 to ${hex(frameEnd)}`,
      );
    }
  };
  const edit = (start: Gfn, end: Gfn): Edit => {
    refuseWhileWalked();
    checkRange(start, end);
    return new Edit(tables, start, end);
  };
  const checkTarget = (target: Pfn, count: number): void => {
    if (!(Number.isSafeInteger(target) && target >= 0 && target + count <= 2 ** 40)) {
      throw new SecondLevelEditorError(
        `${hex(count)} frames from ${hex(target)} on are not below frame 0x10000000000`,
      );
    }
  };
  const checkBits = ({ low, high }: U64): void => {
    if ((low & fixed) !== 0 || (high & 0xf_ffff) !== 0 || !tables.isPresent(low)) {
      throw new SecondLevelEditorError(
        `${hex(high)}_${hex(low)} are not bits of a leaf: expected a present entry without address (51:12) and without ${leafBits}`,
      );
    }
  };
  const checkLevel = (level: number, highest: number): void => {
    if (!(Number.isInteger(level) && level >= 1 && level <= highest)) {
      throw new SecondLevelEditorError(`level ${level} holds no leaves here: expected 1 to ${highest}`);
    }
  };

  return {
    root,
    get tables() {
      return tables.count;
    },
    map(start, end, target, bits) {
      const run = edit(start, end);
      checkTarget(target, end - start);
      checkBits(bits);
      if (start < end) run.map(root, levels, 0, target - start, bits, format.largestLeaf, true);
      return run.result();
    },
    installLeaf(gfn, level, target, bits) {
      checkLevel(level, format.largestLeaf);
      const span = spanOf(level);
      const run = edit(gfn, (gfn + span) as Gfn);
      checkTarget(target, span);
      checkBits(bits);
      if (gfn % span !== 0 || target % span !== 0) {
        throw new SecondLevelEditorError(
          `a leaf of level ${level} cannot map frame ${hex(gfn)} to ${hex(target)}: both must be multiples of ${hex(span)}`,
        );
      }
      run.map(root, levels, 0, target - gfn, bits, level, false);
      return run.result();
    },
    unmap(start, end) {
      const run = edit(start, end);
      if (start < end) run.remove(root, levels, 0, false);
      return run.result();
    },
    zap(start, end) {
      const run = edit(start, end);
      if (start < end) run.remove(root, levels, 0, true);
      return run.result();
    },
    update(start, end, change) {
      const run = edit(start, end);
      const low = change.clear.low | change.set.low;
      if ((low & fixed) !== 0 || ((change.clear.high | change.set.high) & 0xf_ffff) !== 0) {
        throw new SecondLevelEditorError(
          `a leaf change must leave the address (51:12) and ${leafBits} alone`,
        );
      }
      if (start < end) run.update(root, levels, 0, change);
      return run.result();
    },
    split(gfn, level) {
      checkLevel(level, 3);
      const run = edit(gfn, (gfn + 1) as Gfn);
      run.split(root, levels, level);
      return run.result();
    },
    merge(start, end) {
      const run = edit(start, end);
      if (start < end) run.merge(root, levels, 0);
      return run.result();
    },
    leaf(gfn) {
      let found: SecondLevelLeaf | undefined;
      this.forEachLeaf(gfn, (gfn + 1) as Gfn, (first, level, low, high) => {
        found = {
          gfn: first,
          level,
          pfn: (frameIn(low, high) - (frameIn(low, high) % spanOf(level))) as Pfn,
          entry: { low, high },
        };
      });
      return found;
    },
    forEachLeaf(start, end, visit) {
      checkRange(start, end);
      if (start === end) return;
      walks++;
      try {
        visitLeaves(tables, root, levels, 0, start, end, visit);
      } finally {
        walks--;
      }
    },
    checkpoint() {
      const { count } = tables;
      return () => {
        tables.count = count;
      };
    },
    free() {
      refuseWhileWalked();
      tables.freeTree(root, levels);
    },
  };
}

function visitLeaves(
  tables: TableStore,
  table: Pfn,
  level: number,
  base: number,
  start: Gfn,
  end: Gfn,
  visit: (gfn: Gfn, level: number, low: number, high: number) => void,
): void {
  const page = tables.view(table);
  const span = spanOf(level);
  const last = Math.min(end, base + 512 * span);
  let slot = start <= base ? base : Math.floor(start / span) * span;
  for (let word = entryWord(slot as Gfn, level); slot < last; slot += span, word += 2) {
    const low = page[word] ?? 0;
    if (!tables.isPresent(low)) continue;
    const high = page[word + 1] ?? 0;
    if (tables.isLeaf(low, level)) visit(slot as Gfn, level, low, high);
    else visitLeaves(tables, frameIn(low, high), level - 1, slot, start, end, visit);
  }
}

function countTables(tables: TableStore, table: Pfn, level: number): number {
  let count = 1;
  if (level === 1) return count;
  const page = tables.view(table);
  for (let word = 0; word < 1024; word += 2) {
    const low = page[word] ?? 0;
    if (tables.isPresent(low) && !tables.isLeaf(low, level)) {
      count += countTables(tables, frameIn(low, page[word + 1] ?? 0), level - 1);
    }
  }
  return count;
}
