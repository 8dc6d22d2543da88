import {
  createFrameAllocator,
  createRam,
  type FrameRange,
  type Gfn,
  type PhysicalMemory,
  type VirtualFrame,
  virtualAddressOf,
  writeBytes,
} from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';
import type { HekiKernel } from '../kernel/kernel.ts';
import { PUBLISHED_LAYOUT } from '../walk/address-space.ts';

/** A kernel that does no more than the core asks, with list pages in memory of their own. */
export interface TestKernel extends HekiKernel {
  readonly listMemory: PhysicalMemory<Gfn>;
  /** Pages allocated and not freed. */
  readonly pagesInUse: number;
  /** From now on this many allocations succeed, then none. */
  allowPages(count: number): void;
}

/** Frames for list pages, above all memory of a test. */
const LIST_START = 2 ** 36;

export function createTestKernel(options: {
  readonly tables: {
    readonly memory: PhysicalMemory<Gfn>;
    readonly root: Gfn;
    readonly levels: PagingLevels;
  };
  readonly validFrames: readonly FrameRange<Gfn>[];
  readonly ramFrames?: readonly FrameRange<Gfn>[];
  /** Where the direct map begins. Default: as published. */
  readonly directMapAt?: VirtualFrame;
  readonly listPages?: number;
  readonly onAllocate?: (reclaim: boolean) => void;
}): TestKernel {
  const { tables, validFrames, ramFrames = validFrames, listPages = 2 ** 20, onAllocate } = options;
  const { directMapAt = PUBLISHED_LAYOUT[tables.levels].directMap.start } = options;
  const directMapEnd = (directMapAt + (validFrames.at(-1)?.end ?? 0)) as VirtualFrame;
  const ranges = [{ start: LIST_START as Gfn, end: (LIST_START + listPages) as Gfn }];
  const frames = createFrameAllocator({ ranges });
  const listMemory = createRam({ ranges });
  let allowed = Number.POSITIVE_INFINITY;
  return {
    memory: tables.memory,
    pageTableRoot: tables.root,
    levels: tables.levels,
    validFrames,
    ramFrames,
    directMap: { start: directMapAt, end: directMapEnd },
    listMemory,
    get pagesInUse() {
      return listPages - frames.freeFrames;
    },
    allowPages(count) {
      allowed = count;
    },
    allocatePage(reclaim) {
      onAllocate?.(reclaim);
      const frame = allowed-- > 0 ? frames.allocate() : undefined;
      if (frame === undefined) return undefined;
      return { frame, address: virtualAddressOf((0xffff_8880_0000_0 + frame) as VirtualFrame) };
    },
    freePage: ({ frame }) => frames.free(frame),
    store(page, offset, bytes) {
      const address = (page.frame * 4096 + offset) as Parameters<typeof writeBytes<Gfn>>[1];
      return writeBytes<Gfn>(listMemory, address, bytes) === bytes.length;
    },
  };
}
