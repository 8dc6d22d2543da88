import type { VirtualRange } from '@heki/guest';
import { createFrameAllocator, FRAME_END, type Gfn, type VirtualFrame } from '@heki/physical-memory';

/** Hands out stretches of a range of addresses, lowest first, and takes them back. */
export interface VirtualSpace {
  /** `undefined` when no stretch is long enough. */
  allocate(frames: number, alignment: number): VirtualFrame | undefined;
  free(start: VirtualFrame, frames: number): void;
}

/** The addresses of `range`; of a range longer than 4 PiB the first 4 PiB. */
export function createVirtualSpace({ start, end }: VirtualRange): VirtualSpace {
  const first = start;
  const frames = Math.min(end - start, FRAME_END);
  const offsets = createFrameAllocator<Gfn>({ ranges: [{ start: 0 as Gfn, end: frames as Gfn }] });
  return {
    allocate(count, alignment) {
      const offset = offsets.allocateContiguous(count, alignment);
      return offset === undefined ? undefined : ((first + offset) as VirtualFrame);
    },
    free: (from, count) => offsets.free((from - first) as Gfn, count),
  };
}
