import { type Gfn, gfn } from '@heki/physical-memory';
import { EntryHigh } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { buildCore } from '../testing/build-core.ts';
import { type BuiltKernel, buildKernel, PLAN } from '../testing/built-kernel.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { doubtsAbout } from './doubts.ts';
import { resolveKernelRoot } from './resolve-kernel-root.ts';

const SCATTERED = { ...PLAN, vmalloc: [0x900] } as const;
/** A free page below all tables: what stands there is looked at first. */
const DECOY = gfn(0x10);

/** The kernel as a dump that names no root, in which these pages look like roots. */
function unnamed({ memory }: BuiltKernel, roots: readonly Gfn[]): Vmcore {
  return { ...readVmcore(buildCore({})), memory, rootLikePages: roots };
}

/** Puts a copy of `root` at `at` that differs as `change` says, with a lower half as empty as that of swapper_pg_dir. */
function copyRoot(
  { memory }: BuiltKernel,
  root: Gfn,
  at: Gfn,
  change: (page: Uint32Array) => void = () => {},
): void {
  const page = memory.writablePage(at);
  const own = memory.page(root);
  if (page === undefined || own === undefined) throw new Error('RAM');
  page.set(own);
  page.fill(0, 0, 512);
  change(page);
}

/** The first slot of the kernel's half in which `root` has vmalloc: behind the direct map. */
function vmallocSlot({ memory, directMap }: BuiltKernel, root: Gfn): number {
  const page = memory.page(root);
  for (let slot = (Math.floor(directMap / 2 ** 27) % 512) + 1; slot < 511; slot++) {
    if (((page?.[2 * slot] ?? 0) & 1) === 1) return slot;
  }
  throw new Error('no vmalloc');
}

describe('a root that is found by its structure', () => {
  const { swapper, process } = buildKernel(SCATTERED).kernelRoots;

  it.each([
    ['leads to less', (page: Uint32Array, slot: number) => page.fill(0, 2 * slot, 2 * slot + 2)],
    [
      'forbids more',
      (page: Uint32Array, slot: number) => {
        page[2 * slot + 1] = (page[2 * slot + 1] ?? 0) | EntryHigh.XD;
      },
    ],
  ])('is the one that most pages agree with: a decoy that %s is told, and not taken', (_, change) => {
    const kernel = buildKernel(SCATTERED);
    copyRoot(kernel, swapper, DECOY, (page) => change(page, vmallocSlot(kernel, swapper)));
    const core = unnamed(kernel, [DECOY, swapper, process]);
    const found = resolveKernelRoot(core);
    expect([found.root, found.origin.rivals]).toEqual([swapper, [DECOY]]);
    const doubt = doubtsAbout(core, found).find(({ id }) => id === 'rival-roots');
    expect(doubt?.message).toMatch(
      /^another page proves to be a root of this kernel and leads elsewhere, at 0x10000: /,
    );
  });

  it('has no rival in a page that says the same', () => {
    const kernel = buildKernel(SCATTERED);
    copyRoot(kernel, swapper, DECOY);
    const core = unnamed(kernel, [DECOY, swapper, process]);
    const found = resolveKernelRoot(core);
    expect(found.origin.rivals).toEqual([]);
    expect(doubtsAbout(core, found).map(({ id }) => id)).not.toContain('rival-roots');
  });

  it('counts rivals that it does not list', () => {
    const kernel = buildKernel(SCATTERED);
    const decoys = Array.from({ length: 6 }, (_, index) => gfn(DECOY + index));
    for (const [index, at] of decoys.entries()) {
      // Each leads to a table of its own where the kernel has nothing.
      copyRoot(kernel, swapper, at, (page) => page.set([(at + 1) * 4096 + 3, 0], 2 * (400 + index)));
    }
    const core = unnamed(kernel, [...decoys, swapper, process]);
    const doubt = doubtsAbout(core, resolveKernelRoot(core)).find(({ id }) => id === 'rival-roots');
    expect(doubt?.message).toContain('6 other pages prove');
    expect(doubt?.message).toContain('0x10000, 0x11000, 0x12000, 0x13000 and 2 more');
  });
});
