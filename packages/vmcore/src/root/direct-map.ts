import {
  type FrameRange,
  type Gfn,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import {
  entryFrame,
  framesOfLevel,
  type MappingLeaf,
  type MappingWalkOptions,
  walkMappings,
} from '@heki/x86';
import { DUMP_LIMITS } from '../limits.ts';
import { GIB_FRAMES, gibsThatMap, KERNEL_MAP, type KernelTables, mappedFrame } from './kernel-tables.ts';

/** The region in which a kernel has all its memory mapped, every frame as far from its start as from address 0. */
export interface DirectMap {
  /** Where frame 0 is mapped, or would be: `page_offset_base`. */
  readonly start: VirtualFrame;
  /** One past its last mapping. */
  readonly end: VirtualFrame;
  /** The frames that it maps, ascending and joined. */
  readonly frames: readonly FrameRange<Gfn>[];
  /** Pages in the region that lead to other frames than their own: damage, or an attack. */
  readonly strayPages: number;
}

/** More places in which a root table is mapped so than a sound kernel has: it has one. */
const MOST_PLACES = 16;
/**
 * Where Linux's direct map begins at the lowest, as before 4.20; KASLR only moves it up. Below is what belongs to a hypervisor, and later
 * the local descriptor tables of page-table isolation (Documentation/arch/x86/x86_64/mm.rst).
 */
const LOWEST_START = {
  4: virtualFrameOf(virtualAddress(0xffff_8800_0000_0000n)),
  5: virtualFrameOf(virtualAddress(0xff10_0000_0000_0000n)),
} as const;
/** Where it begins at the lowest since 4.20, and without KASLR. */
export const USUAL_START = {
  4: virtualFrameOf(virtualAddress(0xffff_8880_0000_0000n)),
  5: virtualFrameOf(virtualAddress(0xff11_0000_0000_0000n)),
} as const;
/** How far it reaches at most (there, too): 64 TiB, and 32 PiB. */
const MOST_FRAMES = { 4: 2 ** 34, 5: 2 ** 43 } as const;

/**
 * Where a direct map of these tables may begin. A kernel edits its page tables through it, so they are mapped there, the root
 * among them; and KASLR moves it by whole GiB (arch/x86/mm/kaslr.c). So a GiB in which the root is as far from the start as
 * it is in its own GiB of memory tells where frame 0 is.
 */
export function directMapStarts(tables: KernelTables): VirtualFrame[] {
  const { root, levels } = tables;
  const gib = root - (root % GIB_FRAMES);
  return gibsThatMap(tables, root, MOST_PLACES)
    .map((at) => (at - gib) as VirtualFrame)
    .filter((start) => start >= LOWEST_START[levels]);
}

/** Whether the direct map from `start` on maps `frame`. */
export function isDirectlyMapped(tables: KernelTables, start: VirtualFrame, frame: Gfn): boolean {
  const at = start + frame;
  return at < KERNEL_MAP && mappedFrame(tables, at as VirtualFrame) === frame;
}

/** Leaves of the direct map from `start` on. */
export function directMapLeaves(tables: KernelTables, start: VirtualFrame): number {
  const limit = Math.min(KERNEL_MAP, start + MOST_FRAMES[tables.levels]) as VirtualFrame;
  return surveyRange({ ...tables, budget: DUMP_LIMITS.tablePages }, start, limit).straightLeaves;
}

/**
 * What the direct map from `start` on maps, or why it is not one, in words that follow the name of a root.
 *
 * @param tableCount page tables of the kernel's half, or as many of them as were counted
 */
export function surveyDirectMap(
  tables: KernelTables,
  start: VirtualFrame,
  tableCount: number,
): DirectMap | string {
  const limit = Math.min(KERNEL_MAP, start + MOST_FRAMES[tables.levels]) as VirtualFrame;
  const whole = surveyRange({ ...tables, budget: DUMP_LIMITS.tablePages }, start, limit);
  if (whole.stoppedAt !== undefined) return tooMany(DUMP_LIMITS.tablePages);
  if (whole.reservedLeaves > whole.straightLeaves) {
    return 'has more large pages with reserved bits set than others in what would be its direct map: its tables are of another level';
  }
  const { frames, strayPages } = whole;
  const end = (start + (frames.at(-1)?.end ?? 0)) as VirtualFrame;
  if (whole.sharedPlaces === 0) return { start, end, frames, strayPages };

  // In a direct map it matters where a table stands. It uses each once; twice as many leave room for damage.
  const budget = 2 * tableCount;
  const gibEnd = (start + Math.ceil((end - start) / GIB_FRAMES) * GIB_FRAMES) as VirtualFrame;
  const each = surveyRange({ ...tables, sharedTables: 'each', budget }, start, gibEnd);
  if (each.stoppedAt !== undefined) return tooMany(budget);
  const last = each.frames.at(-1)?.end ?? 0;
  return { start, end: (start + last) as VirtualFrame, frames: each.frames, strayPages: each.strayPages };
}

const tooMany = (budget: number): string =>
  `has more than ${budget} table pages in its direct map: they seem to point to each other`;

/** What the virtual frames from `start`, the start of a direct map, to `end` map of it and beside it. */
function surveyRange(options: MappingWalkOptions, start: VirtualFrame, end: VirtualFrame) {
  const frames: { start: Gfn; end: Gfn }[] = [];
  let strayPages = 0;
  let strayBefore = 0;
  let straightLeaves = 0;
  let reservedLeaves = 0;
  const { stoppedAt, sharedPlaces } = walkMappings(options, start, end, (leaf) => {
    if (hasReservedBits(leaf)) reservedLeaves++;
    if (leaf.virtualFrame - leaf.guestFrame !== start) {
      // What comes behind the direct map is not in it.
      strayBefore += leaf.frames;
      return;
    }
    straightLeaves++;
    strayPages += strayBefore;
    strayBefore = 0;
    const frameEnd = (leaf.guestFrame + leaf.frames) as Gfn;
    const last = frames.at(-1);
    if (last !== undefined && last.end === leaf.guestFrame) last.end = frameEnd;
    else frames.push({ start: leaf.guestFrame, end: frameEnd });
  });
  return { frames, strayPages, straightLeaves, reservedLeaves, stoppedAt, sharedPlaces };
}

/** Whether a large leaf has address bits below its size, other than PAT: as a PDE has that is read as a PDPTE. */
function hasReservedBits({ level, low, high }: MappingLeaf): boolean {
  return level > 1 && entryFrame(low, high) % framesOfLevel(level) > 1;
}
