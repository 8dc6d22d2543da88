import {
  type Gfn,
  type PhysicalMemory,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { type PagingLevels, walkMappings } from '@heki/x86';
import type { VirtualRange } from './kernel.ts';

/** Where the kernel's half of the address space and the direct map begin and end (Heki v2 14/19). */
export interface KernelLayout {
  readonly kernel: VirtualRange;
  readonly directMap: VirtualRange;
}

function range(start: bigint, end: bigint): VirtualRange {
  return {
    start: virtualFrameOf(virtualAddress(start)),
    end: virtualFrameOf(virtualAddress(end)),
  };
}

/**
 * The series' compile-time constants (Linux Documentation/arch/x86/x86_64/mm.rst): right only without
 * RANDOMIZE_MEMORY, which moves the direct map.
 */
export const PUBLISHED_LAYOUT: { readonly [levels in PagingLevels]: KernelLayout } = {
  4: {
    kernel: range(0xffff_8000_0000_0000n, 0xffff_ffff_ffe0_0000n),
    directMap: range(0xffff_8880_0000_0000n, 0xffff_c880_0000_0000n),
  },
  5: {
    kernel: range(0xff00_0000_0000_0000n, 0xffff_ffff_ffe0_0000n),
    directMap: range(0xff11_0000_0000_0000n, 0xff91_0000_0000_0000n),
  },
};

/** `__START_KERNEL_map`: kernel image, modules and fixmap lie above, never the direct map. */
const KERNEL_MAP = virtualFrameOf(virtualAddress(0xffff_ffff_8000_0000n));
/** RANDOMIZE_MEMORY moves the direct map by multiples of 1 GiB (arch/x86/mm/kaslr.c). */
const DIRECT_MAP_ALIGNMENT = 2 ** 18;

/**
 * Finds the direct map in page tables: the region whose every mapping lies one and the same multiple of 1 GiB above
 * the frame that it maps. Of several such regions it is the one that maps most, because it maps all memory. Its end is
 * that of its last mapping; memory that is added later lies behind. `undefined` when there is none.
 */
export function findDirectMap(options: {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}): VirtualRange | undefined {
  const regions = new Map<number, { end: number; frames: number }>();
  let base = -1;
  let region: { end: number; frames: number } | undefined;
  const { start } = PUBLISHED_LAYOUT[options.levels].kernel;
  walkMappings(options, start, KERNEL_MAP, (leaf) => {
    const from = leaf.virtualFrame - leaf.guestFrame;
    if (from !== base) {
      if (from % DIRECT_MAP_ALIGNMENT !== 0 || from < start) return;
      base = from;
      region = regions.get(base);
      if (region === undefined) {
        region = { end: 0, frames: 0 };
        regions.set(base, region);
      }
    }
    if (region === undefined) return;
    region.end = leaf.virtualFrame + leaf.frames;
    region.frames += leaf.frames;
  });
  let found: VirtualRange | undefined;
  let most = 0;
  for (const [from, { end, frames }] of regions) {
    if (frames <= most) continue;
    most = frames;
    found = { start: from as VirtualFrame, end: end as VirtualFrame };
  }
  return found;
}
