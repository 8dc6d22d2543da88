import type { FrameNumber, Gfn } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import type { DefectChoices } from '@heki/series';
import type { MemoryTableDefectId } from './defects/memory-table-defects.ts';
import { countEntries, entryInExtent } from './entry.ts';
import { MemoryTableError } from './error.ts';
import { type CodeTest, type CodeTransform, ExtentMap } from './extent-map.ts';
import { coveredFrames, type MemoryTableGeometry, memoryTableGeometry } from './geometry.ts';
import type {
  AscendingRanges,
  Entry,
  Extent,
  MemoryTable,
  MemoryTableStatistics,
  Test,
  Transform,
  TransformOf,
  Visit,
} from './memory-table.ts';
import { ValueCodes } from './value-codes.ts';

/** How a memory table is made. */
export interface MemoryTableOptions {
  /** Default: that of a kernel with 5-level paging in use, which covers all physical memory. */
  readonly geometry?: MemoryTableGeometry;
  /** Defects of the published table that are switched on. Default none. */
  readonly defects?: DefectChoices<MemoryTableDefectId>;
}

/** An empty memory table. */
export function createMemoryTable<Value, Frame extends FrameNumber = Gfn>(
  options: MemoryTableOptions = {},
): MemoryTable<Value, Frame> {
  return new ExtentTable<Value, Frame>(options);
}

/** The page-table level of the smallest entries, PG_LEVEL_4K: what the series calls the base level. */
const BASE_LEVEL = 1;

class ExtentTable<Value, Frame extends FrameNumber> implements MemoryTable<Value, Frame> {
  readonly geometry: MemoryTableGeometry;
  /** B-G8: frames above the coverage share the entries of those below. */
  readonly #aliases: boolean;
  /** B-G9. */
  readonly #losesLargeEntries: boolean;
  /** Frames with an entry of their own; a frame's key is its remainder. */
  readonly #covered: number;
  readonly #map = new ExtentMap();
  readonly #codes = new ValueCodes<Value>();
  #changes = 0;
  /** A function of the caller is at work. */
  #calling = false;

  // What the caller of the method at hand asked for, and the frame that stands for key 0: so that none of these
  // functions has to be made anew for each call.
  #base = 0;
  #transform: Transform<Value, Frame> = (value) => value;
  #test: Test<Value, Frame> = () => false;
  #visit: Visit<Value, Frame> = () => {};
  readonly #transformCode: CodeTransform = (code, start, end) =>
    this.#codes.encode(
      this.#transform(this.#codes.decode(code), (start + this.#base) as Frame, (end + this.#base) as Frame),
    );
  readonly #testCode: CodeTest = (code, start, end) =>
    this.#test(this.#codes.decode(code), (start + this.#base) as Frame, (end + this.#base) as Frame);
  readonly #visitCode: CodeTest = (code, start, end) => {
    this.#visit(this.#codes.decode(code), (start + this.#base) as Frame, (end + this.#base) as Frame);
    return false;
  };

  constructor(options: MemoryTableOptions) {
    const { geometry = memoryTableGeometry({ la57: true }), defects = {} } = options;
    this.geometry = geometry;
    this.#aliases = defects['B-G8'] ?? false;
    this.#losesLargeEntries = defects['B-G9'] ?? false;
    this.#covered = coveredFrames(geometry);
  }

  get changes(): number {
    return this.#changes;
  }

  get(frame: Frame): Value | undefined {
    return this.#codes.decode(this.#map.get(this.#keyOf(frame)));
  }

  set(start: Frame, end: Frame, value: Value): void {
    this.#change();
    this.#check(start, end);
    const code = this.#codes.encode(value);
    this.#eachPart(start, end, (from, to) => {
      this.#map.update(from, to, () => code);
      return false;
    });
    this.#clean();
  }

  clear(start: Frame, end: Frame): void {
    this.#change();
    this.#check(start, end);
    this.#eachPart(start, end, (from, to) => {
      this.#map.update(from, to, () => 0);
      return false;
    });
  }

  update(start: Frame, end: Frame, transform: Transform<Value, Frame>): void {
    this.#change();
    this.#check(start, end);
    this.#calling = true;
    try {
      this.#update(start, end, transform);
    } finally {
      this.#calling = false;
    }
    this.#clean();
  }

  #update(start: Frame, end: Frame, transform: Transform<Value, Frame>): void {
    this.#transform = transform;
    if (end <= this.#covered) {
      this.#base = 0;
      this.#map.update(start, end, this.#transformCode);
    } else {
      this.#eachPart(start, end, (from, to) => {
        this.#map.update(from, to, this.#transformCode);
        return false;
      });
    }
  }

  updateAscending(ranges: AscendingRanges, transform: TransformOf<Value, Frame>): void {
    this.#change();
    const { starts, lengths, count } = ranges;
    let before = 0;
    for (let index = 0; index < count; index++) {
      const start = starts[index] ?? Number.NaN;
      const end = start + (lengths[index] ?? Number.NaN);
      this.#check(start, end);
      if (start < before) {
        throw new MemoryTableError(
          `frames ${hex(start)}-${hex(end)} begin before ${hex(before)}, the end of the range before them`,
        );
      }
      before = end;
    }
    this.#calling = true;
    try {
      if (before > this.#covered) {
        for (let index = 0; index < count; index++) {
          const start = (starts[index] ?? 0) as Frame;
          const end = (start + (lengths[index] ?? 0)) as Frame;
          this.#update(start, end, (value, from, to) => transform(value, from, to, index));
        }
      } else {
        this.#map.updateAscending(starts, lengths, count, (code, start, end, index) =>
          this.#codes.encode(transform(this.#codes.decode(code), start as Frame, end as Frame, index)),
        );
      }
    } finally {
      this.#calling = false;
    }
    this.#clean();
  }

  forEach(start: Frame, end: Frame, visit: Visit<Value, Frame>): void {
    this.#refuseWhileCalling();
    this.#visit = visit;
    this.#some(start, end, this.#visitCode, true);
  }

  some(start: Frame, end: Frame, test: Test<Value, Frame>): boolean {
    this.#refuseWhileCalling();
    this.#test = test;
    return this.#some(start, end, this.#testCode, true);
  }

  every(start: Frame, end: Frame, test: Test<Value, Frame>): boolean {
    this.#refuseWhileCalling();
    this.#test = test;
    return !this.#some(start, end, this.#testCode, false);
  }

  *extents(): IterableIterator<Extent<Value, Frame>> {
    const changes = this.#changes;
    for (let start = 0; start < this.#covered; ) {
      const end = this.#map.endOf(start);
      const value = this.#codes.decode(this.#map.get(start));
      if (value !== undefined) {
        yield { start: start as Frame, end: Math.min(end, this.#covered) as Frame, value };
        if (this.#changes !== changes) {
          throw new MemoryTableError(
            `the table has changed while its extents were walked, before frame ${hex(end)}: expected to be left alone until the walk ends`,
          );
        }
      }
      start = end;
    }
  }

  find(frame: Frame): Entry<Value, Frame> | undefined {
    const key = this.#keyOf(frame);
    const value = this.#codes.decode(this.#map.get(key));
    if (value === undefined) return undefined;
    const { number, start, end } = this.#entryAt(key);
    const base = frame - key;
    return {
      start: (base + start) as Frame,
      end: (base + end) as Frame,
      value,
      level: this.#levelOf(number),
    };
  }

  create(frame: Frame, make: () => Value): Entry<Value, Frame> {
    this.#change();
    const key = this.#keyOf(frame);
    let value = this.#codes.decode(this.#map.get(key));
    if (value !== undefined && this.#losesLargeEntries) {
      const { number, start, end } = this.#entryAt(key);
      if (number > 0) {
        this.#map.update(start, end, () => 0);
        value = undefined;
      }
    }
    if (value === undefined) {
      value = make();
      this.set(frame, (frame + 1) as Frame, value);
    }
    return { start: frame, end: (frame + 1) as Frame, value, level: this.#levelOf(0) };
  }

  free(release?: (value: Value, start: Frame, end: Frame) => void): void {
    if (release !== undefined) {
      for (const { start, end, value } of this.extents()) release(value, start, end);
    }
    this.#change();
    this.#map.clear();
    this.#codes.retain(new Set());
  }

  statistics(): MemoryTableStatistics {
    let extents = 0;
    let frames = 0;
    const entries = this.geometry.levels.map(() => 0);
    for (const { start, end } of this.extents()) {
      extents++;
      frames += end - start;
      countEntries(this.geometry, start, end, entries);
    }
    return { extents, frames, entries };
  }

  #change(): void {
    this.#refuseWhileCalling();
    this.#changes++;
  }

  /** What the caller handed in must not come back: the walk that calls it would go on over what is gone, or for the wrong caller. */
  #refuseWhileCalling(): void {
    if (this.#calling) {
      throw new MemoryTableError(
        'the table is walked or changed from within a function that walks or changes it: expected to be left alone until that ends',
      );
    }
  }

  #check(start: number, end: number): void {
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end)) {
      throw new MemoryTableError(
        `frames ${hex(start)}-${hex(end)} are not a range: expected integers, start <= end`,
      );
    }
    if (end > this.#covered && !this.#aliases) {
      throw new MemoryTableError(
        `frames ${hex(start)}-${hex(end)} reach above the end ${hex(this.#covered)}`,
      );
    }
  }

  #keyOf(frame: Frame): number {
    this.#check(frame, frame + 1);
    return frame < this.#covered ? frame : frame % this.#covered;
  }

  #some(start: Frame, end: Frame, test: CodeTest, wanted: boolean): boolean {
    this.#check(start, end);
    this.#calling = true;
    try {
      return this.#eachPart(start, end, (from, to) => this.#map.some(from, to, test, wanted));
    } finally {
      this.#calling = false;
    }
  }

  /** Calls `part` for the keys of a range, which start again at 0 above the coverage, until it answers true. Whether it did. */
  #eachPart(start: number, end: number, part: (start: number, end: number) => boolean): boolean {
    for (let from = start; from < end; ) {
      const base = from - (from % this.#covered);
      const to = Math.min(end, base + this.#covered);
      this.#base = base;
      if (part(from - base, to - base)) return true;
      from = to;
    }
    return false;
  }

  #entryAt(key: number): { readonly number: number; readonly start: number; readonly end: number } {
    return entryInExtent(this.geometry, key, this.#map.startOf(key), this.#map.endOf(key));
  }

  #levelOf(number: number): number {
    return this.#losesLargeEntries ? number : BASE_LEVEL + number;
  }

  /** Forgets values that no frame has any more, now and then. */
  #clean(): void {
    if (!this.#codes.needsCleaning) return;
    const live = new Set<number>();
    this.#map.some(
      0,
      this.#covered,
      (code) => {
        live.add(code);
        return false;
      },
      true,
    );
    this.#codes.retain(live);
  }
}
