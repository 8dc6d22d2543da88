import { createMemoryTable } from '@heki/memory-table';
import { FRAME_END, type Gfn, type StateDigest } from '@heki/physical-memory';

/** `mem_attr_array`: attribute bits of every guest frame, absent meaning 0, kept as extents of equal values. */
export interface AttributeStore {
  /** Extents stored. */
  readonly extents: number;
  get(gfn: Gfn): number;
  /** Gives frames `start` .. `end` - 1 the value `(old AND NOT mask) OR (bits AND mask)`. */
  update(start: number, end: number, bits: number, mask: number): void;
  /** Whether every frame has all of `bits`; with `bits` 0, whether none has any attribute. */
  all(start: number, end: number, bits: number): boolean;
  /** Whether some frame has all of `bits`. */
  any(start: number, end: number, bits: number): boolean;
  /** Whether every frame has, in the bits of `mask`, exactly `bits`. */
  equal(start: number, end: number, bits: number, mask: number): boolean;
  /** What brings back the values of now. */
  checkpoint(): () => void;
  /** Tells `digest` the values of now. */
  digest(digest: StateDigest): void;
  /** Calls `visit` for every run of frames with equal values in the range, those without attributes included (0). */
  forEach(start: number, end: number, visit: (start: Gfn, end: Gfn, value: number) => void): void;
}

/** An empty store. Its frames are those below 2^40. */
export function createAttributeStore(): AttributeStore {
  const table = createMemoryTable<number>();
  /** Which values there are: each change makes a new one, and a point that is brought back has the one that it had. */
  let version = 0;
  let latest = 0;
  return {
    get extents() {
      return table.statistics().extents;
    },
    get: (gfn) => table.get(gfn) ?? 0,
    update(start, end, bits, mask) {
      version = ++latest;
      table.update(start as Gfn, end as Gfn, (old = 0) => {
        const value = (old & ~mask) | (bits & mask);
        return value === 0 ? undefined : value;
      });
    },
    all: (start, end, bits) =>
      bits === 0
        ? table.every(start as Gfn, end as Gfn, (value = 0) => value === 0)
        : table.every(start as Gfn, end as Gfn, (value = 0) => (value & bits) === bits),
    any: (start, end, bits) => table.some(start as Gfn, end as Gfn, (value = 0) => (value & bits) === bits),
    equal: (start, end, bits, mask) =>
      table.every(start as Gfn, end as Gfn, (value = 0) => ((value ^ bits) & mask) === 0),
    checkpoint() {
      const extents = [...table.extents()];
      const kept = version;
      return () => {
        if (version === kept) return;
        version = kept;
        table.clear(0 as Gfn, FRAME_END as Gfn);
        for (const { start, end, value } of extents) table.set(start, end, value);
      };
    },
    digest(digest) {
      table.forEach(0 as Gfn, FRAME_END as Gfn, (value = 0, start) => {
        digest.add(start);
        digest.word(value);
      });
    },
    forEach(start, end, visit) {
      table.forEach(start as Gfn, end as Gfn, (value = 0, from, to) => visit(from, to, value));
    },
  };
}
