import { type VirtualFrame, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';
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
