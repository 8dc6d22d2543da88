import { type Gfn, PAGE_SIZE, type PageView, virtualAddressOf } from '@heki/physical-memory';
import { CR4, PageRights, type PagingLevels, upperHalfStart, walkMappings } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VmcoreError } from '../error.ts';
import { buildCore, qemuNote } from '../testing/build-core.ts';
import { type BuiltKernel, buildKernel, type KernelPlan } from '../testing/built-kernel.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { type ProvenRoot, proveKernelRoot } from './proven-root.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

/** Where Linux has its direct map at the lowest, in GiB from the start of the kernel's half. */
const LOWEST_GIB = { 4: 0x2000, 5: 0x40_0000 } as const;

const anySize = fc.record({
  levels: fc.constantFrom<PagingLevels[]>(4, 5),
  frames: fc.constantFrom(0x2000, 0x3000, 0x8000),
});
const anyPlan: fc.Arbitrary<KernelPlan> = anySize.chain(({ levels, frames }) =>
  fc.record({
    levels: fc.constant(levels),
    ramFrames: fc.constant(frames),
    directMapGib: fc.integer({ min: LOWEST_GIB[levels], max: LOWEST_GIB[levels] + 2 ** 16 }),
    largestLeaf: fc.constantFrom(1 as const, 2 as const, 3 as const),
    textAt: fc.integer({ min: 1, max: 10 }),
    vmalloc: fc.array(fc.integer({ min: 0, max: frames - 1 }), { maxLength: 20 }),
  }),
);

type RootName = keyof BuiltKernel['kernelRoots'] | keyof BuiltKernel['otherRoots'];
const anyRoot = fc.constantFrom<RootName[]>(
  'swapper',
  'process',
  'efi',
  'user',
  'trampoline',
  'guest',
  'empty',
);
const anyInfo = fc.constantFrom('whole', 'without phys_base', 'none');

/** A dump of `kernel` with a CPU on each of the roots. */
function dumpOf(kernel: BuiltKernel, on: readonly RootName[], info: string): Vmcore {
  const roots = { ...kernel.kernelRoots, ...kernel.otherRoots };
  const cr4 = CR4.PAE | (kernel.levels === 5 ? CR4.LA57 : 0n);
  const image = virtualAddressOf(kernel.text);
  const physBase = BigInt(kernel.textFrame * 4096) - (image - 0xffff_ffff_8000_0000n);
  const swapper = 0xffff_ffff_8000_0000n + BigInt(kernel.kernelRoots.swapper * 4096) - physBase;
  const lines = [
    `SYMBOL(_stext)=${image.toString(16)}`,
    `SYMBOL(swapper_pg_dir)=${swapper.toString(16)}`,
    `NUMBER(pgtable_l5_enabled)=${kernel.levels - 4}`,
    ...(info === 'whole' ? [`NUMBER(phys_base)=${physBase}`] : []),
  ];
  const notes = on.map((name) => qemuNote({ cr3: BigInt(roots[name] * 4096 + 0x18), cr4 }));
  const descriptor = new TextEncoder().encode(lines.join('\n'));
  const named = info === 'none' ? [] : [{ name: 'VMCOREINFO', descriptor }];
  return { ...readVmcore(buildCore({ notes: [...notes, ...named] })), memory: kernel.memory };
}

function resolved(core: Vmcore): ProvenRoot | undefined {
  try {
    return resolveKernelRoot(core);
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    return undefined;
  }
}

/** What the kernel's half of a root maps, by a look at every entry at every place. */
function lookAt({ memory, root, levels }: ProvenRoot) {
  const image = 2 ** 52 - 2 ** 19;
  const executable: Range[] = [];
  /** Frames below the image, ascending, by how far from them they are mapped. */
  const below = new Map<number, Range[]>();
  const tables = { memory, root, levels, sharedTables: 'each', budget: 512 } as const;
  const { stoppedAt } = walkMappings(tables, upperHalfStart(levels), (2 ** 52) as never, (leaf) => {
    const { virtualFrame, guestFrame, frames, effective } = leaf;
    const range = { start: guestFrame as number, end: guestFrame + frames };
    if (virtualFrame < image) {
      const distance = virtualFrame - guestFrame;
      const ranges = below.get(distance) ?? [];
      below.set(distance, ranges);
      const last = ranges.at(-1);
      if (last?.end === range.start) last.end = range.end;
      else ranges.push(range);
    } else if (virtualFrame < image + 2 ** 18 && (effective & PageRights.EXECUTE_DISABLE) === 0) {
      executable.push(range);
    }
  });
  const isWhole = stoppedAt === undefined;
  const mappedAt = (distance: number): Range[] => below.get(distance) ?? [];
  const pagesAt = (distance: number): number =>
    mappedAt(distance).reduce((sum, { start, end }) => sum + end - start, 0);
  return { isWhole, executable, mappedAt, pagesAt };
}

interface Range {
  start: number;
  end: number;
}

const ZEROES = Buffer.alloc(PAGE_SIZE);
const isZero = ({ buffer, byteOffset }: PageView): boolean =>
  ZEROES.equals(new Uint8Array(buffer, byteOffset, PAGE_SIZE));

const overlap = (a: Range, b: Range): boolean => a.start < b.end && b.start < a.end;

describe('the root of any kernel', () => {
  it('is found as long as one CPU or VMCOREINFO leads to it, and never taken from another', () => {
    fc.assert(
      fc.property(anyPlan, fc.array(anyRoot, { minLength: 1, maxLength: 4 }), anyInfo, (plan, on, info) => {
        const kernel = buildKernel(plan);
        const found = resolved(dumpOf(kernel, on, info));
        const isKernels = (name: RootName) => name in kernel.kernelRoots || name === 'user';
        // Without phys_base, it is taken as 0: then swapper_pg_dir is elsewhere, or it is right.
        if (info !== 'whole' && !on.some(isKernels)) {
          if (found !== undefined) expect(found.root).toBe(kernel.kernelRoots.swapper);
          return;
        }
        expect(Object.values(kernel.kernelRoots)).toContain(found?.root);
        expect(found?.directMap.start).toBe(kernel.directMap);
        expect(found?.directMap.frames).toEqual([{ start: 0, end: plan.ramFrames }]);
        const cpu = on.findIndex(isKernels);
        expect(found?.origin.cpu).toBe(cpu < 0 ? undefined : cpu);
      }),
      { numRuns: 80 },
    );
  });

  it('is not a root when it is read with the wrong number of levels', () => {
    fc.assert(
      fc.property(anyPlan, anyRoot, (plan, name) => {
        const kernel = buildKernel(plan);
        const root = { ...kernel.kernelRoots, ...kernel.otherRoots }[name];
        const tables = { memory: kernel.memory, root, levels: plan.levels === 4 ? 5 : 4 } as const;
        expect(() => proveKernelRoot(tables)).toThrow(VmcoreError);
      }),
      { numRuns: 30 },
    );
  });

  it('is refused or right, whatever was written over its tables', () => {
    // An entry of a table gets the value of another, a frame of another, or any.
    const anyDamage = fc.record({
      table: fc.nat(),
      slot: fc.nat(511),
      kind: fc.constantFrom('copy', 'frame', 'bit', 'clear'),
      from: fc.nat(),
      fromSlot: fc.nat(511),
      bit: fc.nat(63),
    });
    let refused = 0;
    let right = 0;
    fc.assert(
      fc.property(
        anyPlan,
        anyRoot,
        anyInfo,
        fc.array(anyDamage, { minLength: 1, maxLength: 6 }),
        (plan, on, info, damages) => {
          const kernel = buildKernel(plan);
          const { memory, tablesFrom } = kernel;
          const used: Gfn[] = [];
          for (let frame = tablesFrom; frame < plan.ramFrames; frame++) {
            const page = memory.page(frame as Gfn);
            if (page !== undefined && !isZero(page)) used.push(frame as Gfn);
          }
          const tableOf = (index: number) => memory.writablePage(used[index % used.length] ?? tablesFrom);
          for (const { table, slot, kind, from, fromSlot, bit } of damages) {
            const [to, source] = [tableOf(table), tableOf(from)];
            if (to === undefined || source === undefined) continue;
            const [low = 0, high = 0] = source.subarray(2 * fromSlot, 2 * fromSlot + 2);
            if (kind === 'copy') to.set([low, high], 2 * slot);
            else if (kind === 'clear') to.set([0, 0], 2 * slot);
            else if (kind === 'frame') to[2 * slot] = ((used[from % used.length] ?? 0) * 4096 + 0x67) >>> 0;
            else
              to[2 * slot + Math.floor(bit / 32)] =
                ((to[2 * slot + Math.floor(bit / 32)] ?? 0) ^ (1 << (bit % 32))) >>> 0;
          }
          const found = resolved(dumpOf(kernel, [on], info));
          if (found === undefined) {
            refused++;
            return;
          }
          right++;
          const { isWhole, executable, mappedAt, pagesAt } = lookAt(found);
          // Elsewhere than in the direct map, tables may lead to themselves.
          if (!isWhole) return;
          const { start, frames } = found.directMap;
          expect(frames).toEqual(mappedAt(start));
          expect(frames.some((range) => range.start <= found.root && found.root < range.end)).toBe(true);
          expect(executable.some((page) => frames.some((range) => overlap(page, range)))).toBe(true);
          // Entries that were copied may link all of the kernel's direct map at another place, or into another's tables: then these
          // are what a kernel has, and nothing tells that they were made by accident.
          if (start === kernel.directMap) return;
          expect(pagesAt(start)).toBeGreaterThanOrEqual(pagesAt(kernel.directMap));
          // Of two with as many pages the other is told.
          if (pagesAt(start) === pagesAt(kernel.directMap))
            expect(found.otherDirectMaps).toContain(kernel.directMap);
        },
      ),
      { numRuns: 60 },
    );
    // Both happen, or the property says nothing.
    expect(refused).toBeGreaterThan(0);
    expect(right).toBeGreaterThan(0);
  });
});
