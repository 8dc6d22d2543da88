import type { HekiKernel } from '@heki/guest';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import { directAddress, type KernelState } from '../kernel-state.ts';
import { attempt } from '../outcome.ts';

/** What Heki's core gets of the kernel. Page lists are stored through the processor, in pages of the page allocator. */
export function createHekiKernel(
  state: Pick<KernelState, 'physicalMemory' | 'layout' | 'tables'>,
  kernel: () => KernelState,
): HekiKernel {
  const { physicalMemory, layout, tables } = state;
  return {
    memory: physicalMemory,
    pageTableRoot: tables.root,
    levels: layout.levels,
    // pfn_valid holds for whole sections, holes in them included.
    get validFrames() {
      return [{ start: 0 as Gfn, end: kernel().memoryEnd }];
    },
    get directMap() {
      const end = (layout.directMap + kernel().memoryEnd) as typeof layout.directMap;
      return { start: layout.directMap, end };
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
