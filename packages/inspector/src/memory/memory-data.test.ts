import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeMemory, type GrantRun, type MemoryRun, memoryRun, type Place } from './memory-data.ts';
import { decodeMemory, worstClass } from './memory-model.ts';
import { PageClass } from './page-class.ts';

const RIGHTS = ['r--', 'rw-', 'r-x', 'rwx', 'rw-u'] as const;
const place: fc.Arbitrary<Place> = fc.record({
  region: fc.constantFrom('direct map', 'vmalloc'),
  rights: fc.constantFrom(...RIGHTS),
  leaf: fc.constantFrom(...RIGHTS),
  size: fc.constantFrom('4K', '2M'),
});

/** Runs that ascend and are apart, some of which touch. @param longest frames */
const runsOf = (longest: number): fc.Arbitrary<MemoryRun[]> =>
  fc
    .array(
      fc.record({
        gap: fc.integer({ min: 0, max: longest }),
        length: fc.integer({ min: 1, max: longest }),
        rights: fc.constantFrom(...RIGHTS),
        places: fc.array(place, { maxLength: 3 }),
        distance: fc.integer({ min: 0, max: 2 ** 52 - 1 }),
        unlisted: fc.nat(2),
      }),
      { maxLength: 40 },
    )
    .map((parts) => {
      let last = 0;
      return parts.map(({ gap, length, places, distance, ...about }) => {
        const start = last + gap;
        last = start + length;
        return memoryRun({ ...about, start, end: last, places, distances: places.map(() => distance) });
      });
    });

/** What is known of each frame, by its number. */
function byFrame(list: readonly MemoryRun[]): Map<number, string> {
  const frames = new Map<number, string>();
  for (const { start, end, ...about } of list) {
    for (let frame = start; frame < end; frame++) frames.set(frame, JSON.stringify(about));
  }
  return frames;
}

describe('memory as a page carries it', () => {
  test('comes back as it was, frame by frame', () => {
    fc.assert(
      fc.property(runsOf(12), (list) => {
        const data = JSON.parse(JSON.stringify(encodeMemory({ ram: [], runs: list, grants: [] })));
        const sorted = (about: string): unknown => Object.entries(JSON.parse(about)).sort();
        const [before, after] = [byFrame(list), byFrame(decodeMemory(data).runs)];
        expect([...after.keys()]).toEqual([...before.keys()]);
        for (const [frame, about] of after) expect(sorted(about)).toEqual(sorted(before.get(frame) ?? '{}'));
      }),
      { numRuns: 40 },
    );
  });

  test('has no more runs than it may, and of those put together the worst, and every frame that is mapped', () => {
    fc.assert(
      fc.property(runsOf(700), fc.integer({ min: 1, max: 12 }), (list, most) => {
        const model = decodeMemory(encodeMemory({ ram: [], runs: list, grants: [], most }));
        expect(model.runs.length).toBeLessThanOrEqual(most);
        const pages = (some: readonly MemoryRun[]): number =>
          some.reduce((sum, { start, end, summary }) => sum + (summary?.frames ?? end - start), 0);
        expect(pages(model.runs)).toBe(pages(list));
        for (const run of list) {
          // A frame of a run is never shown as less than it is.
          expect(worstClass(model, run)).toBeGreaterThanOrEqual(run.pageClass);
        }
        // Nor worse than the worst that there is: two frames, one written and one executed, are not one that is both.
        const worst = Math.max(PageClass.NOT_RAM, ...list.map(({ pageClass }) => pageClass));
        expect(Math.max(PageClass.NOT_RAM, ...model.runs.map(({ pageClass }) => pageClass))).toBe(worst);
      }),
      { numRuns: 60 },
    );
  });

  test('says that rights differ where those of a hypervisor are put together', () => {
    const grants = Array.from(
      { length: 8 },
      (_, frame): GrantRun => ({
        start: frame,
        end: frame + 1,
        rights: frame % 2 === 0 ? 'r--' : 'rw-',
        immutable: frame === 0,
      }),
    );
    const encode = (most: number) =>
      decodeMemory(encodeMemory({ ram: [], runs: [], grants: [grants], most })).grants[0];
    expect(encode(8)).toEqual(grants);
    expect(encode(7)).toEqual([{ start: 0, end: 8, rights: 'several', immutable: false }]);
  });
});
