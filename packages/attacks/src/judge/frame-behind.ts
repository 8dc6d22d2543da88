import {
  type Gfn,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import { type PagingLevels, walkMappings } from '@heki/x86';

/** Page tables in guest-physical memory. */
export interface KernelTables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
}

/** The frame that `tables` map at `va` now, seen from outside. */
export function frameBehind(tables: KernelTables, va: VirtualAddress): Gfn | undefined {
  const at = virtualFrameOf(va);
  let frame: Gfn | undefined;
  walkMappings(tables, at, (at + 1) as VirtualFrame, ({ virtualFrame, guestFrame }) => {
    frame = (guestFrame + (at - virtualFrame)) as Gfn;
  });
  return frame;
}
