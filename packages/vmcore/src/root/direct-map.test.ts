import { type Gfn, gfn } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { buildKernel, PLAN } from '../testing/built-kernel.ts';
import { proveKernelRoot } from './proven-root.ts';

describe('the direct map of a root', () => {
  const { process } = buildKernel(PLAN).kernelRoots;

  it('has its direct map where Linux has one: not where a hypervisor lives', () => {
    for (const [levels, directMapGib] of [
      [4, 0x1fff],
      [5, 0x3f_ffff],
    ] as const) {
      const low = buildKernel({ ...PLAN, levels, directMapGib });
      const { memory } = low;
      expect(() => proveKernelRoot({ memory, root: low.kernelRoots.process, levels })).toThrow(
        'has no direct map in which the table itself would be mapped',
      );
      const first = buildKernel({ ...PLAN, levels, directMapGib: directMapGib + 1 });
      proveKernelRoot({ memory: first.memory, root: first.kernelRoots.process, levels });
    }
  });

  it('has no table one level too high in its direct map, whose large pages have reserved bits set', () => {
    const { memory, otherRoots } = buildKernel(PLAN);
    const frameIn = (table: Gfn, slot: number) =>
      gfn(Math.floor((memory.page(table)?.[2 * slot] ?? 0) / 4096));
    // The first 2 MiB of the direct map make 1 GiB, and that maps all the tables.
    const pageDirectory = frameIn(frameIn(process, 273), 0);
    const root = otherRoots.trampoline;
    memory.writablePage(root)?.set([pageDirectory * 4096 + 0x67], 2 * 280);
    expect(() => proveKernelRoot({ memory, root, levels: 4 })).toThrow(
      'has more large pages with reserved bits set than others in what would be its direct map: its tables are of another level',
    );
  });

  it('has all of its direct map, however often its tables stand in it', () => {
    const { memory, directMap, kernelRoots } = buildKernel({ ...PLAN, largestLeaf: 1 });
    const root = kernelRoots.process;
    let table = root;
    for (const slot of [273, 0]) table = gfn(Math.floor((memory.page(table)?.[2 * slot] ?? 0) / 4096));
    // The page table of the third 2 MiB stands in place of the second, too.
    memory.writablePage(table)?.copyWithin(2, 4, 6);
    const { directMap: found } = proveKernelRoot({ memory, root, levels: 4 });
    expect(found).toEqual({
      start: directMap,
      end: directMap + 0x3000,
      frames: [
        { start: 0, end: 0x200 },
        { start: 0x400, end: 0x3000 },
      ],
      strayPages: 0x200,
    });
  });

  it('may have tables behind the direct map that are shared as often as one likes', () => {
    const { memory, directMap, kernelRoots } = buildKernel(PLAN);
    const root = kernelRoots.process;
    const page = memory.writablePage(root);
    for (let slot = 300; slot < 500; slot++) page?.copyWithin(2 * slot, 2 * 511, 2 * 512);
    expect(proveKernelRoot({ memory, root, levels: 4 }).directMap).toMatchObject({
      start: directMap,
      frames: [{ start: 0, end: 0x3000 }],
      strayPages: 0,
    });
  });

  it('has no table that stands in its direct map again and again', () => {
    const { memory, kernelRoots } = buildKernel(PLAN);
    const root = kernelRoots.process;
    let table = root;
    for (const slot of [273, 0]) table = gfn(Math.floor((memory.page(table)?.[2 * slot] ?? 0) / 4096));
    // Page tables of a user program between the large pages of the direct map.
    const program = gfn(Math.floor((memory.page(root)?.[0] ?? 0) / 4096));
    for (let slot = 8; slot < 21; slot++)
      memory.writablePage(table)?.set([program * 4096 + 0x67, 0], 2 * slot);
    expect(() => proveKernelRoot({ memory, root, levels: 4 })).toThrow(
      'has more than 12 table pages in its direct map: they seem to point to each other',
    );
  });
});
