import type { HekiKernel } from '@heki/guest';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { directAddress, type KernelState } from '../kernel-state.ts';
import { attempt } from '../outcome.ts';

/** What Heki's core gets of the kernel. Page lists are stored through the processor, in pages of the page allocator. */
export function createHekiKernel(
  state: Pick<KernelState, 'physicalMemory' | 'layout' | 'memoryMap' | 'tables'>,
  kernel: () => KernelState,
): HekiKernel {
  const { physicalMemory, layout, memoryMap, tables } = state;
  const { ramEnd } = memoryMap;
  return {
    memory: physicalMemory,
    pageTableRoot: tables.root,
    levels: layout.levels,
    // pfn_valid holds for whole sections, holes in them included.
    validFrames: [{ start: 0 as Gfn, end: ramEnd }],
    directMap: {
      start: layout.directMap,
      end: (layout.directMap + ramEnd) as typeof layout.directMap,
    },
    allocatePage() {
      const frame = kernel().pages.allocate();
      return frame === undefined ? undefined : { frame, address: directAddress(layout, frame) };
    },
    freePage: ({ frame }) => kernel().pages.free(frame),
    store: (page, offset, bytes) =>
      attempt(() => kernel().memory.store((page.address + BigInt(offset)) as VirtualAddress, bytes)).kind ===
      'done',
  };
}
