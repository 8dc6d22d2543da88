import { type Gfn, type PhysicalMemory, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { type PagingLevels, walkMappings } from '@heki/x86';

/** The last 2 GiB belong to the kernel image and modules (Linux, Documentation/arch/x86/x86_64/mm.rst). */
const IMAGE_START = VIRTUAL_FRAME_END - 2 ** 19;

/** The kernel's page tables. */
export interface KernelTables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
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
