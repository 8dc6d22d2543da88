import { type FrameNumber, PAGE_WORDS } from './address.ts';
import { checkFrameRanges, createFrameIndex, type FrameRange } from './frame-range.ts';
import { PageStore } from './page-store.ts';
import type { PageView, PhysicalMemory } from './physical-memory.ts';

/** What an untouched page of RAM reads as. Its type forbids writing. */
const ZERO_PAGE: PageView = new Uint32Array(PAGE_WORDS);

/** RAM that takes host memory only for pages that were written. */
export interface Ram<Frame extends FrameNumber> extends PhysicalMemory<Frame> {
  /** Pages that were asked for writing so far. */
  readonly pagesTouched: number;
}

/**
 * Sparse RAM over `ranges`: a page inside reads zero until it is written, a frame outside is absent.
 *
 * @throws {PhysicalMemoryError} when a range is empty, not in 0 .. 2^40, or overlaps another
 */
export function createRam<Frame extends FrameNumber>(options: {
  readonly ranges: readonly FrameRange<Frame>[];
}): Ram<Frame> {
  const indexAt = createFrameIndex(checkFrameRanges(options.ranges));
  const store = new PageStore();
  return {
    get pagesTouched() {
      return store.size;
    },
    page(frame) {
      const page = store.get(frame);
      if (page !== undefined) return page;
      return indexAt(frame) >= 0 ? ZERO_PAGE : undefined;
    },
    writablePage(frame) {
      const page = store.get(frame);
      if (page !== undefined) return page;
      return indexAt(frame) >= 0 ? store.add(frame) : undefined;
    },
  };
}
