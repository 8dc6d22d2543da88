import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { frameExtents, type Mapping, type PlaceName } from './index.ts';

const anyMapping = fc.record({
  start: fc.nat(60),
  frames: fc.integer({ min: 1, max: 20 }),
  rights: fc.nat(15),
});

test('extents say of every frame what a look at every mapping says', () => {
  fc.assert(
    fc.property(fc.array(anyMapping, { maxLength: 30 }), (all) => {
      const mappings = all.map(
        ({ start, frames, rights }, index): Mapping => ({
          virtualFrame: (index * 100) as VirtualFrame,
          guestFrame: start as Gfn,
          frames,
          rights: rights | 1,
          level: 1,
          low: 0,
          high: 0,
          effective: 0,
          places: 1,
          region: 'vmalloc',
        }),
      );
      const extents = frameExtents(mappings);
      for (let frame = 0; frame < 90; frame++) {
        const here = mappings.filter((one) => frame >= one.guestFrame && frame < one.guestFrame + one.frames);
        const extent = extents.find(({ start, end }) => frame >= start && frame < end);
        expect(extent?.mappingCount ?? 0).toBe(here.length);
        expect(extent?.rights ?? 0).toBe(here.reduce((rights, one) => rights | one.rights, 0));
        expect(new Set(extent?.mappings ?? [])).toEqual(new Set(here));
      }
      for (const [index, { start, end }] of extents.entries()) {
        expect(end).toBeGreaterThan(start);
        expect(start).toBeGreaterThanOrEqual(extents[index - 1]?.end ?? 0);
      }
    }),
  );
});

test('of many mappings none is left out whose region, size and rights no other has', () => {
  const mappings = Array.from({ length: 400 }, (_, index): Mapping => {
    const [region, rights, level] =
      ({ 200: ['vmemmap', 5, 1], 300: ['vmalloc', 3, 1], 399: ['modules', 1, 2] } as const)[index] ??
      (['vmalloc', 1, 1] as [PlaceName, number, 1]);
    return {
      virtualFrame: index as VirtualFrame,
      guestFrame: 7 as Gfn,
      frames: 1,
      rights,
      level,
      low: 0,
      high: 0,
      effective: 0,
      places: 1,
      region,
    };
  });
  const [extent] = frameExtents(mappings);
  expect(extent?.mappingCount).toBe(400);
  expect(extent?.mappings).toEqual(
    expect.arrayContaining([0, 200, 300, 399].map((index) => mappings[index])),
  );
  expect(extent?.mappings).toHaveLength(64);
  expect(new Set(extent?.mappings).size).toBe(64);
});
