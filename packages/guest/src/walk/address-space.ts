import {
  type FrameRange,
  type Gfn,
  type PhysicalMemory,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { DEFAULT_TABLE_BUDGET, type PagingLevels, walkMappings } from '@heki/x86';
import type { VirtualRange } from '../kernel/kernel.ts';

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

/** The parts of a range before and behind `hole`; all of it without one. A part may be empty, and end before it starts. */
export function outside({ start, end }: VirtualRange, hole: VirtualRange | undefined): VirtualRange[] {
  if (hole === undefined) return [{ start, end }];
  return [
    { start, end: Math.min(end, hole.start) as VirtualFrame },
    { start: Math.max(start, hole.end) as VirtualFrame, end },
  ];
}

/** `__START_KERNEL_map`: kernel image, modules and fixmap lie above, never the direct map. */
const KERNEL_MAP = virtualFrameOf(virtualAddress(0xffff_ffff_8000_0000n));
/** RANDOMIZE_MEMORY moves the direct map by multiples of 1 GiB (arch/x86/mm/kaslr.c). */
const DIRECT_MAP_ALIGNMENT = 2 ** 18;
/** Frames in a row above the frames that they map that nothing but the direct map has: 256 MiB. */
const ENOUGH_FRAMES = 2 ** 16;
/** Table pages that are read before the first look at what was found; then four times as many, and so on. */
const FIRST_BUDGET = 16;

/** Page tables of a kernel, and the frames that are memory. */
export interface DirectMapSearch {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** Most table pages to read. Default 2^20. */
  readonly budget?: number;
  /** The frames that are memory, ascending; empty when nobody knows. */
  readonly validFrames: readonly FrameRange<Gfn>[];
}

/**
 * Finds the direct map in page tables: the region whose every mapping lies one and the same multiple of 1 GiB above
 * the frame that it maps, and of several such regions the one that maps most. It reaches to the end of memory;
 * if the last frame of memory is not where it should be then, to its last mapping. `undefined` when there is none.
 */
export function findDirectMap(search: DirectMapSearch): VirtualRange | undefined {
  const memoryEnd = search.validFrames.at(-1)?.end ?? 0;
  const frames = search.validFrames.reduce((sum, { start, end }) => sum + (end - start), 0);
  const enough = Math.min(frames / 2, ENOUGH_FRAMES);
  const most = search.budget ?? DEFAULT_TABLE_BUDGET;
  for (let budget = FIRST_BUDGET; budget < most; budget *= 4) {
    const { largest, complete } = linearRegions(search, budget);
    if (complete) break;
    if (largest === undefined || largest.frames <= enough) continue;
    const end = (largest.start + memoryEnd) as VirtualFrame;
    if (isMapped(search, largest.start, end)) return { start: largest.start, end };
    break;
  }
  const { largest } = linearRegions(search, most);
  if (largest === undefined) return undefined;
  const end = (largest.start + memoryEnd) as VirtualFrame;
  return { start: largest.start, end: isMapped(search, largest.start, end) ? end : largest.end };
}

/** Mappings that all lie equally far above the frames that they map. */
interface LinearRegion {
  /** Where frame 0 would be mapped. */
  readonly start: VirtualFrame;
  end: VirtualFrame;
  /** Frames mapped. */
  frames: number;
}

/** The largest linear region in the first `budget` table pages of the kernel half, and whether that was all of it. */
function linearRegions(
  search: DirectMapSearch,
  budget: number,
): { readonly largest: LinearRegion | undefined; readonly complete: boolean } {
  const { start } = PUBLISHED_LAYOUT[search.levels].kernel;
  const regions = new Map<number, LinearRegion>();
  let region: LinearRegion | undefined;
  const { stoppedAt } = walkMappings({ ...search, budget }, start, KERNEL_MAP, (leaf) => {
    const base = leaf.virtualFrame - leaf.guestFrame;
    if (base !== region?.start) {
      if (base % DIRECT_MAP_ALIGNMENT !== 0 || base < start) return;
      region = regions.get(base);
      if (region === undefined) {
        region = { start: base as VirtualFrame, end: 0 as VirtualFrame, frames: 0 };
        regions.set(base, region);
      }
    }
    region.end = (leaf.virtualFrame + leaf.frames) as VirtualFrame;
    region.frames += leaf.frames;
  });
  let largest: LinearRegion | undefined;
  for (const one of regions.values()) if (one.frames > (largest?.frames ?? 0)) largest = one;
  return { largest, complete: stoppedAt === undefined };
}

/** Whether the virtual frame before `end` maps the frame that it would in a direct map from `start` on. */
function isMapped(search: DirectMapSearch, start: VirtualFrame, end: VirtualFrame): boolean {
  let mapped = false;
  if (end <= start || end > KERNEL_MAP) return false;
  walkMappings(search, (end - 1) as VirtualFrame, end, (leaf) => {
    mapped = leaf.virtualFrame - leaf.guestFrame === start;
  });
  return mapped;
}
