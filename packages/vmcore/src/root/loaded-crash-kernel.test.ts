import { createFrameAllocator, type Gfn, gfn, virtualFrame } from '@heki/physical-memory';
import { createAddressSpace, entryBits } from '@heki/x86';
import { expect, test } from 'vitest';
import { buildKernel } from '../testing/built-kernel.ts';
import { fixtureNames, foreignNames, inflatedFixture } from '../testing/fixtures.ts';
import { readVmcore } from '../vmcore.ts';
import { loadedCrashKernel } from './loaded-crash-kernel.ts';
import { proveKernelRoot } from './proven-root.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

test.each([...fixtureNames, ...foreignNames])('%s has a crash kernel loaded, or none', (name) => {
  const kernel = resolveKernelRoot(readVmcore(inflatedFixture(`${name}.elf.gz`)));
  // As its /proc/iomem has it.
  const loaded = name === 'foreign/k61-crash-kernel' ? [{ start: 0x34000, end: 0x3e000 }] : [];
  expect(loadedCrashKernel(kernel)).toEqual(loaded);
});

type Frames = readonly (readonly [start: number, end: number])[];

/** Where a crash kernel is loaded in a kernel with these frames read-only in its direct map, and some mapped elsewhere, too. */
function foundIn(readOnly: Frames, elsewhere: Frames = []): Frames {
  const plan = { levels: 4, ramFrames: 0x3000, directMapGib: 0x2200, largestLeaf: 1, textAt: 8 } as const;
  const { memory, kernelRoots, directMap } = buildKernel({ ...plan, vmalloc: [] });
  const root = kernelRoots.swapper;
  const tables = createFrameAllocator<Gfn>({ ranges: [{ start: gfn(0x100), end: gfn(0x200) }] });
  const space = createAddressSpace({ memory, tables, levels: 4, root, largestLeaf: 1 });
  const map = (base: number, ranges: Frames): void => {
    for (const [start, end] of ranges) {
      space.map(virtualFrame(base + start), virtualFrame(base + end), gfn(start), entryBits('P', 'A', 'XD'));
    }
  };
  map(directMap, readOnly);
  map(directMap + 2 ** 29, elsewhere);
  const kernel = proveKernelRoot({ memory, root, levels: 4 });
  return loadedCrashKernel(kernel).map(({ start, end }) => [start, end]);
}

test('a crash kernel is what is read-only in the direct map alone, with the pages of its control code', () => {
  const loaded = [
    [0x2000, 0x2005],
    [0x2007, 0x2500],
  ] as const;
  expect(foundIn(loaded)).toEqual([[0x2000, 0x2500]]);
});

test('constants are not one: they are mapped elsewhere, or few', () => {
  expect(foundIn([[0x2000, 0x2500]], [[0x2000, 0x2500]])).toEqual([]);
  expect(foundIn([[0x2000, 0x20f0]])).toEqual([]);
  expect(foundIn([])).toEqual([]);
});

test('what is mapped elsewhere parts it', () => {
  expect(foundIn([[0x2000, 0x2500]], [[0x2200, 0x2240]])).toEqual([
    [0x2000, 0x2200],
    [0x2240, 0x2500],
  ]);
});
