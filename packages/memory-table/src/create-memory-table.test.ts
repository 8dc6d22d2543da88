import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CHUNK_CAPACITY } from './chunk.ts';
import { coveredFrames } from './geometry.ts';
import { createMemoryTable, MemoryTableError, memoryTableGeometry } from './index.ts';
import { PageMap } from './testing/page-map.ts';

const f = (frame: number) => frame as Gfn;

/** Ranges that meet each other, chunk boundaries and 2-MiB blocks often. */
const range = fc
  .tuple(
    fc.oneof(
      fc.nat(3000),
      fc.nat(5).map((n) => n * 512),
    ),
    fc.oneof(fc.nat(3), fc.nat(1500), fc.constant(512)),
  )
  .map(([start, length]) => ({ start, end: start + length }));
const value = fc.option(fc.nat(3), { nil: undefined });
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('ascending' as const),
    start: fc.nat(1000),
    /** Gap before each range, its length, and what is added to its pages. */
    ranges: fc.array(fc.tuple(fc.nat(4), fc.nat(6), fc.nat(3)), { maxLength: 500, size: 'max' }),
  }),
  fc.record({ kind: fc.constant('set' as const), range, value: fc.nat(3) }),
  fc.record({ kind: fc.constant('clear' as const), range }),
  fc.record({ kind: fc.constant('add' as const), range, amount: fc.nat(2) }),
  fc.record({ kind: fc.constant('replace' as const), range, from: value, to: value }),
  fc.record({
    kind: fc.constant('scatter' as const),
    start: fc.nat(1000),
    step: fc.integer({ min: 2, max: 5 }),
    count: fc.nat(900),
    value: fc.nat(3),
  }),
);

describe('a memory table', () => {
  test('holds after any operations what a Map with an entry for every page holds', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const table = createMemoryTable<number>();
        const model = new PageMap<number>();
        for (const op of operations) {
          switch (op.kind) {
            case 'set':
              table.set(f(op.range.start), f(op.range.end), op.value);
              model.update(op.range.start, op.range.end, () => op.value);
              break;
            case 'clear':
              table.clear(f(op.range.start), f(op.range.end));
              model.update(op.range.start, op.range.end, () => undefined);
              break;
            case 'add': {
              const add = (old: number | undefined) => ((old ?? 0) + op.amount) % 4;
              table.update(f(op.range.start), f(op.range.end), add);
              model.update(op.range.start, op.range.end, add);
              break;
            }
            case 'replace': {
              const replace = (old: number | undefined) => (old === op.from ? op.to : old);
              table.update(f(op.range.start), f(op.range.end), replace);
              model.update(op.range.start, op.range.end, replace);
              break;
            }
            case 'ascending': {
              const starts = new Float64Array(op.ranges.length);
              const lengths = new Uint32Array(op.ranges.length);
              const add = (old: number | undefined, amount: number) =>
                amount === 3 ? undefined : ((old ?? 0) + amount) % 4;
              let at = op.start;
              for (const [index, [gap, length, amount]] of op.ranges.entries()) {
                starts[index] = at + gap;
                lengths[index] = length;
                at += gap + length;
                model.update(at - length, at, (old) => add(old, amount));
              }
              const outside: unknown[] = [];
              table.updateAscending(
                { starts, lengths, count: op.ranges.length },
                (old, start, end, index) => {
                  const from = starts[index] ?? 0;
                  if (start < from || end > from + (lengths[index] ?? 0)) outside.push([index, start, end]);
                  return add(old, op.ranges[index]?.[2] ?? 0);
                },
              );
              expect(outside).toEqual([]);
              break;
            }
            case 'scatter':
              for (let index = 0; index < op.count; index++) {
                const frame = op.start + index * op.step;
                table.set(f(frame), f(frame + 1), op.value);
                model.update(frame, frame + 1, () => op.value);
              }
          }
          expect([...table.extents()]).toEqual(model.extents());
        }
        const wrong = Array.from({ length: 858 }, (_, index) => 7 * index).filter(
          (frame) => table.get(f(frame)) !== model.pages.get(frame),
        );
        expect(wrong).toEqual([]);
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  test('lets go of thousands of extents at once, and takes new ones in their place', () => {
    const wide = fc
      .tuple(fc.nat(8000), fc.integer({ min: 500, max: 8000 }))
      .map(([start, length]) => ({ start, end: start + length }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(wide, value, fc.integer({ min: 2, max: 7 })), { minLength: 1, maxLength: 8 }),
        (steps) => {
          const table = createMemoryTable<number>();
          const model = new PageMap<number>();
          for (const [{ start, end }, to, step] of steps) {
            for (let frame = 0; frame < 8000; frame += step) {
              table.set(f(frame), f(frame + 1), step);
              model.update(frame, frame + 1, () => step);
            }
            table.update(f(start), f(end), () => to);
            model.update(start, end, () => to);
            expect([...table.extents()]).toEqual(model.extents());
            const wrong = Array.from({ length: 16_000 }, (_, frame) => frame).filter(
              (frame) => table.get(f(frame)) !== model.pages.get(frame),
            );
            expect(wrong).toEqual([]);
          }
        },
      ),
      { numRuns: 12 },
    );
  }, 60_000);

  test('visits and asks about exactly the runs of a range, in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(range, value), { maxLength: 30 }),
        range,
        value,
        (sets, asked, wanted) => {
          const table = createMemoryTable<number>();
          const model = new PageMap<number>();
          for (const [{ start, end }, to] of sets) {
            table.update(f(start), f(end), () => to);
            model.update(start, end, () => to);
          }
          const pages: (number | undefined)[] = [];
          let at = asked.start;
          table.forEach(f(asked.start), f(asked.end), (found, start, end) => {
            expect(start).toBe(at);
            expect(end).toBeGreaterThan(start);
            for (; at < end; at++) pages.push(found);
          });
          const expected = Array.from({ length: asked.end - asked.start }, (_, index) =>
            model.pages.get(asked.start + index),
          );
          expect(pages).toEqual(expected);
          expect(table.some(f(asked.start), f(asked.end), (found) => found === wanted)).toBe(
            expected.includes(wanted),
          );
          expect(table.every(f(asked.start), f(asked.end), (found) => found === wanted)).toBe(
            expected.every((found) => found === wanted),
          );
        },
      ),
    );
  });

  test('takes many ranges only in ascending order', () => {
    const table = createMemoryTable<number>();
    const update = (starts: number[], lengths: number[]) =>
      table.updateAscending(
        { starts: Float64Array.from(starts), lengths: Uint32Array.from(lengths), count: starts.length },
        (_, __, ___, index) => index,
      );
    update([0, 2 ** 40 - 2], [1, 2]);
    expect([...table.extents()].map(({ start, end, value: found }) => [start, end, found])).toEqual([
      [0, 1, 0],
      [2 ** 40 - 2, 2 ** 40, 1],
    ]);
    expect(() => update([5, 6], [2, 1])).toThrow('begin before 0x7');
    expect(() => update([2 ** 40 - 1], [2])).toThrow(MemoryTableError);
    expect(() => update([Number.NaN], [2])).toThrow(MemoryTableError);
  });

  test('merges what many ranges leave behind with what follows, wherever that is kept', () => {
    for (let last = CHUNK_CAPACITY - 8; last < CHUNK_CAPACITY + 8; last++) {
      const table = createMemoryTable<number>();
      for (let frame = 0; frame < 3 * CHUNK_CAPACITY; frame++) table.set(f(frame), f(frame + 1), frame % 2);
      const starts = Float64Array.from({ length: 20 }, (_, index) => last - 20 + index);
      const lengths = new Uint32Array(20).fill(1);
      table.updateAscending({ starts, lengths, count: 20 }, () => last % 2);
      const merged = [...table.extents()].filter(({ start, end }) => end - start > 1);
      // The frame before has the same value when 20 frames were changed, and so has the one behind.
      expect(merged).toEqual([{ start: last - 20, end: last + 1, value: last % 2 }]);
    }
  });

  test('reaches every frame that a physical address can have', () => {
    const table = createMemoryTable<string>();
    table.set(f(2 ** 40 - 1), f(2 ** 40), 'last');
    expect(table.get(f(2 ** 40 - 1))).toBe('last');
    expect([...table.extents()]).toEqual([{ start: 2 ** 40 - 1, end: 2 ** 40, value: 'last' }]);
    table.clear(f(0), f(2 ** 40));
    expect([...table.extents()]).toEqual([]);
  });

  test('keeps any value, and merges what is identical', () => {
    const table = createMemoryTable<object>();
    const [a, b] = [{ name: 'a' }, { name: 'b' }];
    table.set(f(0), f(10), a);
    table.set(f(10), f(20), { ...a });
    table.set(f(20), f(30), b);
    expect(table.statistics().extents).toBe(3);
    table.set(f(10), f(20), a);
    expect([...table.extents()]).toEqual([
      { start: 0, end: 20, value: a },
      { start: 20, end: 30, value: b },
    ]);
  });

  test('keeps the values that frames have, however many came and went that are not small numbers', () => {
    const table = createMemoryTable<{ readonly id: number }>();
    const kept = Array.from({ length: 300 }, (_, id) => ({ id }));
    for (const [i, each] of kept.entries()) table.set(f(2 * i), f(2 * i + 1), each);
    for (let id = 1000; id < 4000; id++) table.set(f(5000), f(5001), { id });
    expect(kept.map((_, i) => table.get(f(2 * i)))).toEqual(kept);
    expect(table.get(f(5000))).toEqual({ id: 3999 });
    expect(table.get(f(1))).toBeUndefined();
  });

  test('forgets everything when it is freed, after each extent was released', () => {
    const table = createMemoryTable<number>();
    table.set(f(1), f(3), 7);
    table.set(f(5), f(6), 8);
    const released: unknown[] = [];
    table.free((...args) => released.push(args));
    expect(released).toEqual([
      [7, 1, 3],
      [8, 5, 6],
    ]);
    expect(table.get(f(2))).toBeUndefined();
    expect(table.statistics()).toMatchObject({ extents: 0, frames: 0 });
  });

  test('refuses what is not a range of frames', () => {
    const table = createMemoryTable<number>();
    expect(() => table.set(f(5), f(4), 1)).toThrow(MemoryTableError);
    expect(() => table.set(f(-1), f(4), 1)).toThrow('-0x1-0x4 are not a range');
    expect(() => table.get(f(0.5))).toThrow(MemoryTableError);
    expect(() => table.get(f(Number.NaN))).toThrow('NaN');
    expect(() => table.set(f(0), f(2 ** 40 + 1), 1)).toThrow('above the end 0x10000000000');
    expect(() => table.get(f(2 ** 40))).toThrow(MemoryTableError);
  });
});

describe('entries', () => {
  test('are as large as alignment allows, split when a part changes and merge when the parts agree again', () => {
    const table = createMemoryTable<number>();
    table.set(f(0), f(2 ** 18), 1);
    expect(table.find(f(777))).toEqual({ start: 0, end: 2 ** 18, value: 1, level: 3 });
    table.set(f(777), f(778), 2);
    expect(table.find(f(777))).toEqual({ start: 777, end: 778, value: 2, level: 1 });
    expect(table.find(f(776))).toEqual({ start: 776, end: 777, value: 1, level: 1 });
    expect(table.find(f(1024))).toEqual({ start: 1024, end: 1536, value: 1, level: 2 });
    expect(table.statistics()).toEqual({ extents: 3, frames: 2 ** 18, entries: [512, 511, 0, 0, 0] });
    table.set(f(777), f(778), 1);
    expect(table.statistics()).toEqual({ extents: 1, frames: 2 ** 18, entries: [0, 0, 1, 0, 0] });
    expect(table.find(f(2 ** 18))).toBeUndefined();
  });

  test('hold every frame with a value exactly once', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(range, fc.nat(2)), { maxLength: 10 }), (sets) => {
        const table = createMemoryTable<number>();
        for (const [{ start, end }, to] of sets) table.set(f(start), f(end), to);
        const { entries, frames } = table.statistics();
        const sizes = [1, 512, 512 ** 2, 512 ** 3, 512 ** 4];
        expect(entries.reduce((sum, count, level) => sum + count * (sizes[level] ?? 0), 0)).toBe(frames);
        const found = [0, 0, 0, 0, 0];
        for (const extent of table.extents()) {
          for (let at: number = extent.start; at < extent.end; ) {
            const entry = table.find(f(at));
            expect(entry?.start).toBe(at);
            const index = (entry?.level ?? 0) - 1;
            found[index] = (found[index] ?? 0) + 1;
            at = entry?.end ?? Number.POSITIVE_INFINITY;
          }
        }
        expect(found).toEqual(entries);
      }),
    );
  });

  test('are created once', () => {
    const table = createMemoryTable<{ count: number }>();
    const made = table.create(f(9), () => ({ count: 1 }));
    expect(made).toEqual({ start: 9, end: 10, value: { count: 1 }, level: 1 });
    expect(table.create(f(9), () => ({ count: 2 })).value).toBe(made.value);
  });

  test('keep their value when one is created under them', () => {
    const table = createMemoryTable<number>();
    table.set(f(512), f(1024), 5);
    expect(table.create(f(600), () => 6)).toEqual({ start: 600, end: 601, value: 5, level: 1 });
    expect(table.get(f(601))).toBe(5);
  });
});

describe('the published table', () => {
  test('drops the value of a large entry when one is created under it, and counts levels from 0 (B-G9)', () => {
    const table = createMemoryTable<number>({ defects: { 'B-G9': true } });
    table.set(f(512), f(1536), 5);
    expect(table.find(f(600))).toEqual({ start: 512, end: 1024, value: 5, level: 1 });
    expect(table.create(f(600), () => 6)).toEqual({ start: 600, end: 601, value: 6, level: 0 });
    expect([...table.extents()]).toEqual([
      { start: 600, end: 601, value: 6 },
      { start: 1024, end: 1536, value: 5 },
    ]);
  });

  test('keeps the value of an entry of one frame when one is created there (B-G9)', () => {
    const table = createMemoryTable<number>({ defects: { 'B-G9': true } });
    table.set(f(5), f(6), 7);
    expect(table.create(f(5), () => 8)).toEqual({ start: 5, end: 6, value: 7, level: 0 });
  });

  test('lets frames above its coverage share the values of others (B-G8)', () => {
    const geometry = memoryTableGeometry({ fiveLevelKernel: false, foldedLevelCounted: true });
    const table = createMemoryTable<number>({ geometry, defects: { 'B-G8': true } });
    const covered = 2 ** 27;
    table.set(f(covered + 5), f(covered + 7), 1);
    expect(table.get(f(5))).toBe(1);
    expect(table.find(f(3 * covered + 5))).toMatchObject({ start: 3 * covered + 5, end: 3 * covered + 6 });
    const visited: unknown[] = [];
    table.forEach(f(covered - 1), f(covered + 6), (...args) => visited.push(args));
    expect(visited).toEqual([
      [undefined, covered - 1, covered],
      [undefined, covered, covered + 5],
      [1, covered + 5, covered + 6],
    ]);
    table.update(f(0), f(2 * covered), (value) => (value ?? 0) + 1);
    expect([...table.extents()].map(({ start, end, value }) => [start, end, value])).toEqual([
      [0, 5, 2],
      [5, 7, 3],
      [7, covered, 2],
    ]);
    table.updateAscending(
      { starts: Float64Array.of(5, covered + 6), lengths: Uint32Array.of(1, 1), count: 2 },
      (value) => (value ?? 0) + 10,
    );
    expect([table.get(f(5)), table.get(f(6))]).toEqual([13, 13]);
    table.set(f(5), f(7), 3);
    expect(table.some(f(covered), f(covered + 6), (value) => value === 3)).toBe(true);
    expect(table.every(f(covered), f(covered + 6), (value) => value === 2)).toBe(false);
  });

  test('does not let them where it is mended', () => {
    const geometry = memoryTableGeometry({ fiveLevelKernel: false, foldedLevelCounted: true });
    expect(() => createMemoryTable({ geometry }).get(f(2 ** 27))).toThrow(MemoryTableError);
  });
});

type Table = ReturnType<typeof createMemoryTable<number>>;
const CHANGES: readonly (readonly [string, (table: Table) => void])[] = [
  ['set', (table) => table.set(f(0), f(1), 7)],
  ['clear', (table) => table.clear(f(0), f(1))],
  ['update', (table) => table.update(f(0), f(1), (old) => old)],
  [
    'updateAscending',
    (table) =>
      table.updateAscending(
        { starts: Float64Array.of(0), lengths: Uint32Array.of(1), count: 1 },
        (old) => old,
      ),
  ],
  ['create', (table) => void table.create(f(900), () => 1)],
  ['free', (table) => table.free()],
];
const WALKS: readonly (readonly [string, (table: Table, callback: () => void) => void])[] = [
  ['forEach', (table, callback) => table.forEach(f(0), f(30), callback)],
  ['some', (table, callback) => void table.some(f(0), f(30), () => callback() !== undefined)],
  ['every', (table, callback) => void table.every(f(0), f(30), () => callback() === undefined)],
];
/** Keeps what is there. */
const after = (callback: () => void) => (old: number | undefined) => {
  callback();
  return old;
};
const TRANSFORMS: typeof WALKS = [
  ['update', (table, callback) => table.update(f(0), f(30), after(callback))],
  [
    'updateAscending',
    (table, callback) =>
      table.updateAscending(
        { starts: Float64Array.of(0, 10), lengths: Uint32Array.of(5, 5), count: 2 },
        after(callback),
      ),
  ],
];

/** Three extents. */
function threeExtents(): Table {
  const table = createMemoryTable<number>();
  for (const frame of [0, 10, 20]) table.set(f(frame), f(frame + 5), 1);
  return table;
}

test.each(CHANGES)('a walk of the extents refuses to go on when %s was called meanwhile', (_, change) => {
  const table = threeExtents();
  for (let walked = 1; walked <= 3; walked++) {
    const walk = table.extents();
    for (let i = 0; i < walked; i++)
      expect(walk.next().value).toMatchObject({ start: 10 * i, end: 10 * i + 5 });
    change(table);
    expect(() => walk.next()).toThrow(MemoryTableError);
    table.free();
    for (const frame of [0, 10, 20]) table.set(f(frame), f(frame + 5), 1);
  }
  // A copy can be changed by.
  for (const { start, end } of [...table.extents()]) table.clear(start, end);
  expect([...table.extents()]).toEqual([]);
});

test('a walk of the extents refuses a change during the last of them, even when that reaches the end of the table', () => {
  const geometry = memoryTableGeometry({ fiveLevelKernel: false });
  const table = createMemoryTable<number>({ geometry });
  const end = coveredFrames(geometry);
  table.set(f(0), f(end), 1);
  const walk = table.extents();
  expect(walk.next().value).toEqual({ start: 0, end, value: 1 });
  table.set(f(0), f(1), 2);
  expect(() => walk.next()).toThrow(MemoryTableError);
});

test.each([...WALKS, ...TRANSFORMS])(
  'from within %s the table can be asked, and neither changed nor walked',
  (_, walk) => {
    for (const [, act] of [
      ...CHANGES,
      ...WALKS.map(([name, other]) => [name, (table: Table) => other(table, () => {})] as const),
    ]) {
      const table = threeExtents();
      let calls = 0;
      expect(() =>
        walk(table, () => {
          calls++;
          act(table);
        }),
      ).toThrow(MemoryTableError);
      expect(calls).toBe(1);
      // It refused before anything was done, and is as usable as before.
      expect([...table.extents()].map(({ start, end, value }) => [start, end, value])).toEqual([
        [0, 5, 1],
        [10, 15, 1],
        [20, 25, 1],
      ]);
      walk(table, () => {
        expect([table.get(f(12)), table.find(f(17))]).toEqual([1, undefined]);
      });
      act(table);
    }
  },
);
