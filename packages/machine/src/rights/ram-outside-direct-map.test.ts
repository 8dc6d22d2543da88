import {
  createFrameAllocator,
  createMemoryMap,
  type Gfn,
  gfn,
  type VirtualFrame,
} from '@heki/physical-memory';
import { proveKernelRoot } from '@heki/vmcore';
import { createAddressSpace, EntryHigh, EntryLow, walkMappings } from '@heki/x86';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SMALL_KERNEL, smallKernel } from '../testing/small-kernel.ts';
import { collectiveRights, rightsOfFrame } from './collective-rights.ts';
import { KernelRights } from './kernel-rights.ts';
import { ramOutsideDirectMap } from './ram-outside-direct-map.ts';

const VMALLOC = 0xf_fffc_9000_0000;
const { ramFrames } = SMALL_KERNEL;
/** RAM with a hole, of which the direct map knows nothing. */
const memoryMap = createMemoryMap([
  { start: gfn(0), end: gfn(0x2000), type: 'ram' },
  { start: gfn(0x2000), end: gfn(0x2010), type: 'reserved' },
  { start: gfn(0x2010), end: gfn(ramFrames), type: 'ram' },
]);

interface Piece {
  readonly frame: number;
  readonly frames: number;
  readonly executable: boolean;
}

/** The small kernel with pages taken out of its direct map, and others mapped in vmalloc space. */
function kernelWith(taken: readonly Piece[], mapped: readonly Piece[]) {
  const kernel = smallKernel();
  const ranges = [{ start: gfn(0x2800), end: gfn(0x2c00) }];
  const space = createAddressSpace({ ...kernel, tables: createFrameAllocator<Gfn>({ ranges }) });
  const end = (start: number, { frames }: Piece) => (start + frames) as VirtualFrame;
  for (const piece of taken) {
    const start = (kernel.kernel.directMap.start + piece.frame) as VirtualFrame;
    space.unmap(start, end(start, piece));
  }
  mapped.forEach((piece, index) => {
    const start = (VMALLOC + index * 64) as VirtualFrame;
    const high = piece.executable ? 0 : EntryHigh.XD;
    space.map(start, end(start, piece), gfn(piece.frame), { low: EntryLow.P, high });
  });
  const { memory, root, levels } = kernel;
  const tables = proveKernelRoot({ memory, root, levels });
  const found = ramOutsideDirectMap({
    tables,
    covered: tables.directMap.frames,
    memoryMap,
    mappings: collectiveRights(tables, ramFrames),
  });
  return { tables, found };
}

test('the RAM that a direct map lacks is found, with what other mappings allow and where the first one is', () => {
  const { found } = kernelWith(
    [
      { frame: 0x100, frames: 4, executable: false },
      { frame: 0x1ff0, frames: 0x30, executable: false },
    ],
    [{ frame: 0x101, frames: 2, executable: true }],
  );
  const at = BigInt(VMALLOC) << 12n;
  expect(found).toEqual([
    { start: 0x100, end: 0x101, allowed: 0, mappedAt: undefined },
    { start: 0x101, end: 0x103, allowed: KernelRights.READ | KernelRights.EXECUTE, mappedAt: at },
    { start: 0x103, end: 0x104, allowed: 0, mappedAt: undefined },
    { start: 0x1ff0, end: 0x2000, allowed: 0, mappedAt: undefined },
    { start: 0x2010, end: 0x2020, allowed: 0, mappedAt: undefined },
  ]);
});

test('a direct map that has all RAM lacks none', () => {
  expect(kernelWith([], [{ frame: 0x300, frames: 8, executable: true }]).found).toEqual([]);
});

test('what is found is what a look at every frame finds', () => {
  const piece = fc.record({
    frame: fc.integer({ min: 0x1f00, max: 0x2100 }),
    frames: fc.integer({ min: 1, max: 60 }),
    executable: fc.boolean(),
  });
  const pieces = fc.array(piece, { maxLength: 6 });
  let outside = 0;
  fc.assert(
    fc.property(pieces, pieces, (taken, mapped) => {
      const { tables, found } = kernelWith(taken, mapped);
      const expected = new Map<number, number>();
      for (let frame = 0x1f00; frame < 0x2140; frame++) {
        if (!memoryMap.isRam(gfn(frame))) continue;
        const at = (tables.directMap.start + frame) as VirtualFrame;
        if (walkMappings(tables, at, (at + 1) as VirtualFrame, () => {}).leaves > 0) continue;
        expected.set(frame, rightsOfFrame(tables, frame));
      }
      outside += expected.size;
      const got = new Map<number, number>();
      for (const { start, end, allowed } of found) {
        for (let frame: number = start; frame < end; frame++) got.set(frame, allowed);
      }
      expect(got).toEqual(expected);
      for (const { allowed, mappedAt } of found) expect(mappedAt === undefined).toBe(allowed === 0);
    }),
    { numRuns: 40 },
  );
  expect(outside).toBeGreaterThan(100);
});
