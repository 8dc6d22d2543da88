import { createMemoryMap, type FrameRange, type Gfn, gfn, type MemoryType } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildKernel } from '../testing/built-kernel.ts';
import { fitOfMemoryMap } from './memory-map-fit.ts';
import { proveKernelRoot } from './proven-root.ts';

const RAM_FRAMES = 0x3000;
const built = buildKernel({
  levels: 4,
  ramFrames: RAM_FRAMES,
  directMapGib: 0x2200,
  largestLeaf: 1,
  textAt: 8,
  vmalloc: [],
});
const tables = { memory: built.memory, root: built.kernelRoots.swapper, levels: 4 as const };

/** The page-table entry of `frame` in the direct map, to be written. */
function entryOf(frame: number): (low: number, high?: number) => void {
  let table: Gfn = tables.root;
  for (let level = 4; ; level--) {
    const page = built.memory.writablePage(table);
    const slot = Math.floor((built.directMap + frame) / 512 ** (level - 1)) % 512;
    if (page === undefined) throw new Error('a table is absent');
    if (level === 1) return (low, high = 0x8000_0000) => page.set([low, high], 2 * slot);
    table = gfn(Math.floor((page[2 * slot] ?? 0) / 4096));
  }
}

function mapOf(...entries: readonly [start: number, end: number, type: MemoryType][]) {
  return createMemoryMap(entries.map(([start, end, type]) => ({ start: gfn(start), end: gfn(end), type })));
}

describe('a memory map', () => {
  it('fits when RAM is what the direct map maps', () => {
    const kernel = proveKernelRoot(tables);
    expect(fitOfMemoryMap(kernel, mapOf([1, 0x9f, 'ram'], [0x100, RAM_FRAMES, 'ram']))).toEqual({
      unknown: [],
      cleared: [],
      unnamed: [],
    });
  });

  it('has RAM that the kernel does not know, and lacks what it has', () => {
    const kernel = proveKernelRoot(tables);
    const map = mapOf(
      [0x100, 0x1000, 'ram'],
      [0x1000, 0x1800, 'reserved'],
      [0x2000, 0x8_0000, 'ram'],
      [0x10_0000, 0x14_0000, 'ram'],
    );
    expect(fitOfMemoryMap(kernel, map)).toEqual({
      unknown: [
        { start: 0x3000, end: 0x8_0000 },
        { start: 0x10_0000, end: 0x14_0000 },
      ],
      cleared: [],
      unnamed: [{ start: 0x1800, end: 0x2000 }],
    });
  });

  it('is told by each frame, wherever entries are cleared', () => {
    const frames = fc.integer({ min: 0x100, max: RAM_FRAMES - 0x601 });
    fc.assert(
      fc.property(
        fc.uniqueArray(frames, { maxLength: 30 }),
        fc.uniqueArray(frames, { maxLength: 5 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 0x5000 }), { minLength: 2, maxLength: 12 }),
        (gone, cleared, cuts) => {
          const mapped = new Map<number, boolean>();
          for (const frame of gone) entryOf(frame)(0, 0);
          for (const frame of cleared) entryOf(frame)(frame % 2 === 0 ? 0 : frame * 4096 + 0x162);
          for (const frame of [...gone, ...cleared]) mapped.set(frame, cleared.includes(frame));
          const edges = cuts.sort((a, b) => a - b);
          const entries = edges.flatMap((start, index): [number, number, MemoryType][] => {
            const end = edges[index + 1];
            return end === undefined || index % 3 === 2
              ? []
              : [[start, end, index % 3 === 0 ? 'ram' : 'nvs']];
          });
          const map = mapOf(...entries);
          const fit = fitOfMemoryMap(proveKernelRoot(tables), map);
          for (const frame of [...gone, ...cleared]) entryOf(frame)(frame * 4096 + 0x163);

          const has = (ranges: readonly FrameRange<Gfn>[], frame: number) =>
            ranges.some(({ start, end }) => frame >= start && frame < end);
          for (let frame = 0; frame < 0x5000; frame++) {
            const isMapped = frame < RAM_FRAMES && !mapped.has(frame);
            const isRam = map.isRam(gfn(frame)) && frame >= 0x100;
            const expected = {
              unknown: isRam && !isMapped && mapped.get(frame) !== true,
              cleared: isRam && mapped.get(frame) === true,
              unnamed: isMapped && frame >= 0x100 && map.entryAt(gfn(frame)) === undefined,
            };
            const found = {
              unknown: has(fit.unknown, frame),
              cleared: has(fit.cleared, frame),
              unnamed: has(fit.unnamed, frame),
            };
            if (JSON.stringify(found) !== JSON.stringify(expected))
              expect([frame, found]).toEqual([frame, expected]);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
