import { type Gfn, type PhysicalMemory, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { type PagingLevels, upperHalfStart, walkMappings } from '@heki/x86';

/** Linux aligns the direct map to what one PUD entry maps (arch/x86/mm/kaslr.c): 1 GiB. */
const ALIGNMENT_FRAMES = 2 ** 18;
/** The last 2 GiB belong to the kernel image and modules (Linux, Documentation/arch/x86/x86_64/mm.rst). */
const IMAGE_START = VIRTUAL_FRAME_END - 2 ** 19;

/** The kernel's page tables. */
export interface KernelTables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}

/**
 * Where the direct map begins: the virtual frame of physical address 0, which KASLR moves. Of all distances between a
 * mapping and what it maps that are a multiple of 1 GiB, it is the one that most memory has. `undefined` when
 * no mapping has such a distance.
 */
export function findDirectMap(tables: KernelTables): VirtualFrame | undefined {
  const framesByBase = new Map<number, number>();
  const from = upperHalfStart(tables.levels);
  walkMappings(tables, from, IMAGE_START as VirtualFrame, ({ virtualFrame, guestFrame, frames }) => {
    const base = virtualFrame - guestFrame;
    if (base < from || base % ALIGNMENT_FRAMES !== 0) return;
    framesByBase.set(base, (framesByBase.get(base) ?? 0) + frames);
  });
  let best: number | undefined;
  for (const [base, frames] of framesByBase) {
    if (best === undefined || frames > (framesByBase.get(best) ?? 0)) best = base;
  }
  return best as VirtualFrame | undefined;
}

/** The frames that the direct map from `base` on maps, ascending and joined: what the kernel takes for its RAM. */
export function directlyMapped(tables: KernelTables, base: VirtualFrame): { start: Gfn; end: Gfn }[] {
  const ranges: { start: Gfn; end: Gfn }[] = [];
  walkMappings(tables, base, IMAGE_START as VirtualFrame, ({ virtualFrame, guestFrame, frames }) => {
    if (virtualFrame - guestFrame !== base) return;
    const end = (guestFrame + frames) as Gfn;
    const last = ranges.at(-1);
    if (last !== undefined && last.end === guestFrame) last.end = end;
    else ranges.push({ start: guestFrame, end });
  });
  return ranges;
}
