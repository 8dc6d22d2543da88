import { describe, expect, test } from 'vitest';
import { encodeMemory, type MemoryRun, memoryRun } from '../memory/memory-data.ts';
import { decodeMemory } from '../memory/memory-model.ts';
import { mapLayers } from './layers.ts';

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
