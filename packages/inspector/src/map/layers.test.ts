import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Run } from '../memory/bounded-runs.ts';
import { encodeMemory, type MemoryRun, memoryRun } from '../memory/memory-data.ts';
import { decodeMemory } from '../memory/memory-model.ts';
import { mapLayers } from './layers.ts';
import { painted } from './owners.ts';

const mapped = (start: number, end: number, rights: string, ...regions: string[]): MemoryRun =>
  memoryRun({
    ...{ start, end, rights, unlisted: 0 },
    places: regions.map((region) => ({ region, rights, leaf: rights, size: '4K' })),
    distances: regions.map((_, index) => 1000 * (index + 1)),
  });

const memory = decodeMemory(
  encodeMemory({
    ram: [{ start: 0, end: 64 }],
    runs: [
      mapped(0, 16, 'rw-', 'direct map'),
      mapped(16, 20, 'r-x', 'direct map', 'kernel text'),
      mapped(20, 24, 'rw-', 'direct map', 'vmalloc'),
      mapped(24, 40, 'rw-', 'direct map'),
      mapped(40, 44, 'rw-u', 'direct map'),
    ],
    tables: [
      { start: 2, end: 4 },
      { start: 12, end: 18 },
      { start: 30, end: 31 },
    ],
    grants: [
      [
        { start: 0, end: 32, rights: 'r-x', immutable: true },
        { start: 32, end: 64, rights: '---', immutable: false },
      ],
    ],
  }),
);

describe('what a map is coloured by', () => {
  test('is what its pages belong to: text wherever else it is mapped, page tables within the direct map', () => {
    const owner = mapLayers(memory, ['kvm']).find(({ id }) => id === 'owner') ?? expect.fail();
    expect(
      owner.runs.map(({ start, end, pageClass }) => [start, end, owner.classes[pageClass]?.name]),
    ).toEqual([
      [0, 2, 'direct-map'],
      [2, 4, 'page-tables'],
      [4, 12, 'direct-map'],
      [12, 16, 'page-tables'],
      [16, 20, 'image-text'],
      [20, 24, 'elsewhere'],
      [24, 30, 'direct-map'],
      [30, 31, 'page-tables'],
      [31, 40, 'direct-map'],
      [40, 44, 'user-mode'],
    ]);
  });

  test('is what the kernel has it for: a crash kernel where nothing else maps it, eBPF where its lists are known', () => {
    const owned = (bpf?: readonly Run[]) => {
      const data = encodeMemory({
        ram: [{ start: 0, end: 64 }],
        runs: [
          mapped(0, 16, 'r--', 'direct map'),
          mapped(16, 18, 'rw-', 'direct map', 'vmalloc'),
          mapped(24, 32, 'r-x', 'direct map', 'modules'),
          mapped(32, 34, 'r-x', 'direct map', 'kernel text'),
        ],
        grants: [],
        crashKernel: [{ start: 8, end: 20 }],
        bpf,
      });
      const { classes, runs } = mapLayers(decodeMemory(data), [])[1] ?? expect.fail();
      return {
        titles: classes.map(({ title }) => title),
        runs: runs.map(({ start, end, pageClass }) => [start, end, classes[pageClass]?.name]),
      };
    };
    const before = [
      [0, 8, 'direct-map'],
      [8, 16, 'crash-kernel'],
      [16, 18, 'elsewhere'],
      [18, 20, 'crash-kernel'],
    ];
    const listed = owned([{ start: 26, end: 28 }]);
    expect(listed.runs).toEqual([
      ...before,
      [24, 26, 'modules'],
      [26, 28, 'bpf'],
      [28, 32, 'modules'],
      [32, 34, 'image-text'],
    ]);
    expect(listed.titles).toContain('modules');
    const untold = owned();
    expect(untold.runs).toEqual([...before, [24, 32, 'modules'], [32, 34, 'image-text']]);
    expect(untold.titles).toEqual(
      expect.arrayContaining(['modules and eBPF', 'eBPF alone: not told, for nothing here lists it']),
    );
  });

  test('is what nothing is asked for, where that is known', () => {
    const unsent = [{ start: 3, end: 40 }];
    const data = encodeMemory({ ram: [{ start: 0, end: 64 }], runs: [], grants: [], unsent });
    const layer = mapLayers(decodeMemory(data), []).find(({ id }) => id === 'unsent');
    expect(layer?.runs).toEqual([{ start: 3, end: 40, pageClass: 2 }]);
    expect(mapLayers(memory, ['kvm']).some(({ id }) => id === 'unsent')).toBe(false);
  });

  test('is, painted over, the larger class of each frame', () => {
    const runs = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 6 }), fc.nat(6)), {
        maxLength: 12,
      })
      .map((parts) => {
        let last = 0;
        return parts.map(([gap, length, pageClass]) => {
          const start = last + gap;
          last = start + length;
          return { start, end: last, pageClass };
        });
      });
    const classAt = (some: readonly { start: number; end: number; pageClass: number }[], frame: number) =>
      some.find(({ start, end }) => start <= frame && frame < end)?.pageClass;
    fc.assert(
      fc.property(runs, runs, fc.nat(6), (base, above, pageClass) => {
        const over = above.map((run) => ({ ...run, pageClass }));
        const result = painted(base, over, pageClass);
        for (let frame = 0; frame < 130; frame++) {
          const [under, on] = [classAt(base, frame), classAt(over, frame)];
          const expected = under === undefined ? on : Math.max(under, on ?? 0);
          expect(classAt(result, frame)).toBe(expected);
        }
        for (const [index, { start, end }] of result.entries()) {
          expect(start).toBeGreaterThanOrEqual(result[index - 1]?.end ?? 0);
          expect(end).toBeGreaterThan(start);
        }
      }),
    );
  });

  test('is what a hypervisor grants, where one is known', () => {
    const layers = mapLayers(memory, ['kvm']);
    expect(layers.map(({ id }) => id)).toEqual(['rights', 'owner', 'granted-0', 'immutable-0']);
    const { classes, runs, title } = layers[2] ?? expect.fail();
    expect(title).toBe('what kvm grants');
    expect(runs.map(({ pageClass }) => classes[pageClass]?.name)).toEqual(['code', 'unmapped']);
  });

  test('is what no request changes any more, where there is such, and what has changed since another moment', () => {
    const layers = mapLayers(memory, ['kvm'], [{ start: 5, end: 9 }]);
    const runsOf = (id: string) => layers.find((layer) => layer.id === id)?.runs;
    expect(runsOf('immutable-0')).toEqual([{ start: 0, end: 32, pageClass: 2 }]);
    expect(runsOf('changed')).toEqual([{ start: 5, end: 9, pageClass: 2 }]);
    expect(mapLayers(memory, ['kvm']).some(({ id }) => id === 'changed')).toBe(false);
  });
});
