import type { FrameNumber, Gfn } from '@heki/physical-memory';
import type { MemoryTableDefectId } from './defects.ts';
import { countEntries, entryInExtent } from './entry.ts';
import { hex, MemoryTableError } from './error.ts';
import { ExtentMap } from './extent-map.ts';
import { coveredFrames, type MemoryTableGeometry, memoryTableGeometry } from './geometry.ts';
import type { Entry, Extent, MemoryTable } from './memory-table.ts';

/** How a memory table is made. */
export interface MemoryTableOptions {
  /** Default: that of a kernel with 5-level paging in use, which covers all physical memory. */
  readonly geometry?: MemoryTableGeometry;
  /** Defects of the published table that are switched on. Default none. */
  readonly defects?: { readonly [id in MemoryTableDefectId]?: boolean };
}

/** The page-table level of the smallest entries, PG_LEVEL_4K: what the series calls the base level. */
const BASE_LEVEL = 1;

/** An empty memory table. */
export function createMemoryTable<Value, Frame extends FrameNumber = Gfn>(
  options: MemoryTableOptions = {},
): MemoryTable<Value, Frame> {
  const { geometry = memoryTableGeometry({ la57: true }), defects = {} } = options;
  const aliases = defects['B-G8'] ?? false;
  const losesLargeEntries = defects['B-G9'] ?? false;
  const map = new ExtentMap<Value>();
  const covered = coveredFrames(geometry);

  const check = (start: number, end: number): void => {
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end)) {
      throw new MemoryTableError(
        `frames ${hex(start)}-${hex(end)} are no range: expected integers, start <= end`,
      );
    }
    if (end > covered && !aliases) {
      throw new MemoryTableError(`frames ${hex(start)}-${hex(end)} reach above the end ${hex(covered)}`);
    }
  };
  const keyOf = (frame: Frame): number => {
    check(frame, frame + 1);
    return frame % covered;
  };

  /** Calls `part` for the keys of a range, which comes round to 0 above the coverage. `false` from `part` stops. */
  const eachPart = (
    start: number,
    end: number,
    part: (start: number, end: number, base: number) => boolean,
  ): boolean => {
    for (let from = start; from < end; ) {
      const base = from - (from % covered);
      const to = Math.min(end, base + covered);
      if (!part(from - base, to - base, base)) return false;
      from = to;
    }
    return true;
  };
  const some = (
    start: Frame,
    end: Frame,
    test: (value: Value | undefined, start: Frame, end: Frame) => boolean,
    wanted: boolean,
  ): boolean => {
    check(start, end);
    const given = test as (value: Value | undefined, start: number, end: number) => boolean;
    if (end <= covered) return map.some(start, end, given, wanted);
    return !eachPart(
      start,
      end,
      (from, to, base) => !map.some(from, to, (value, a, b) => given(value, a + base, b + base), wanted),
    );
  };
  const update = (
    start: Frame,
    end: Frame,
    transform: (value: Value | undefined, start: Frame, end: Frame) => Value | undefined,
  ): void => {
    check(start, end);
    const given = transform as (value: Value | undefined, start: number, end: number) => Value | undefined;
    if (end <= covered) {
      map.update(start, end, given);
      return;
    }
    eachPart(start, end, (from, to, base) => {
      map.update(from, to, (value, a, b) => given(value, a + base, b + base));
      return true;
    });
  };
  function* extents(): IterableIterator<Extent<Value, Frame>> {
    for (let start = 0; start < covered; ) {
      const end = map.endOf(start);
      const value = map.get(start);
      if (value !== undefined) yield { start: start as Frame, end: Math.min(end, covered) as Frame, value };
      start = end;
    }
  }
  const entry = (frame: Frame, value: Value): Entry<Value, Frame> => {
    const key = keyOf(frame);
    const { number, start, end } = entryInExtent(geometry, key, map.startOf(key), map.endOf(key));
    const base = frame - key;
    const level = losesLargeEntries ? number : BASE_LEVEL + number;
    return { start: (base + start) as Frame, end: (base + end) as Frame, value, level };
  };

  return {
    geometry,
    get(frame) {
      return map.get(keyOf(frame));
    },
    set(start, end, value) {
      update(start, end, () => value);
    },
    clear(start, end) {
      update(start, end, () => undefined);
    },
    update,
    forEach(start, end, visit) {
      some(
        start,
        end,
        (value, from, to) => {
          visit(value, from, to);
          return false;
        },
        true,
      );
    },
    some: (start, end, test) => some(start, end, test, true),
    every: (start, end, test) => !some(start, end, test, false),
    extents,
    find(frame) {
      const value = map.get(keyOf(frame));
      return value === undefined ? undefined : entry(frame, value);
    },
    create(frame, make) {
      const key = keyOf(frame);
      let value = map.get(key);
      if (value !== undefined && losesLargeEntries) {
        const large = entryInExtent(geometry, key, map.startOf(key), map.endOf(key));
        if (large.number > 0) {
          map.update(large.start, large.end, () => undefined);
          value = undefined;
        }
      }
      const kept = value ?? make();
      map.update(key, key + 1, () => kept);
      const level = losesLargeEntries ? 0 : BASE_LEVEL;
      return { start: frame, end: (frame + 1) as Frame, value: kept, level };
    },
    free(release) {
      if (release !== undefined) {
        for (const { start, end, value } of extents()) release(value, start, end);
      }
      map.clear();
    },
    statistics() {
      let count = 0;
      let frames = 0;
      const entries = geometry.levels.map(() => 0);
      for (const { start, end } of extents()) {
        count++;
        frames += end - start;
        countEntries(geometry, start, end, entries);
      }
      return { extents: count, frames, entries };
    },
  };
}
