import { type FrameNumber, PAGE_WORDS } from './address.ts';
import { PageStore } from './page-store.ts';
import type { PhysicalMemory } from './physical-memory.ts';

/** Memory whose changes are kept apart from the memory beneath. */
export interface Overlay<Frame extends FrameNumber> extends PhysicalMemory<Frame> {
  /** Pages that were asked for writing, and so have a private copy. */
  readonly pagesCopied: number;
  /** Whether `frame` has a private copy. */
  isCopied(frame: Frame): boolean;
}

/**
 * Copy-on-write memory over `base`, which is only ever read: a page gets a private copy when it is first asked for
 * writing. A page that `base` lacks stays absent, for reading and for writing.
 */
export function createOverlay<Frame extends FrameNumber>(options: {
  readonly base: PhysicalMemory<Frame>;
}): Overlay<Frame> {
  const { base } = options;
  const store = new PageStore();
  return {
    get pagesCopied() {
      return store.size;
    },
    isCopied: (frame) => store.get(frame) !== undefined,
    page(frame) {
      const copy = store.get(frame);
      return copy !== undefined ? copy : base.page(frame);
    },
    writablePage(frame) {
      const copy = store.get(frame);
      if (copy !== undefined) return copy;
      const original = base.page(frame);
      if (original === undefined) return undefined;
      const page = store.add(frame);
      page.set(new Uint32Array(original.buffer, original.byteOffset, PAGE_WORDS));
      return page;
    },
  };
}
