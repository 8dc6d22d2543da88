import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { VirtualSpace } from '../layout/virtual-space.ts';

/** An area of mapped pages (`struct vm_struct`). One guard page, never mapped, follows. */
export interface VmArea {
  readonly start: VirtualFrame;
  readonly pages: number;
  /** Frames that belong to the area and are freed with it. */
  readonly frames: readonly Gfn[];
  readonly space: VirtualSpace;
  /** VM_FLUSH_RESET_PERMS: before its frames are freed, their direct map is what it is for data. */
  readonly resetPermissions: boolean;
}

/** The areas of a kernel. */
export interface Vmalloc {
  readonly area: VirtualSpace;
  readonly modules: VirtualSpace;
  readonly areas: Map<VirtualFrame, VmArea>;
  /** Areas whose mappings are gone, while processors may still have them cached: their addresses are not used again. */
  lazy: VmArea[];
}
