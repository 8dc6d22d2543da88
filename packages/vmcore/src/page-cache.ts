import type { Gfn, PageView, PhysicalMemory } from '@heki/physical-memory';
import { VmcoreError } from './error.ts';

/**
 * The memory whose pages `load` gives: `undefined` for one that is absent. At most `cachePages`, rounded up to a power of two, are
 * kept. It cannot be written.
 */
export function cachedMemory(
  load: (frame: Gfn) => PageView | undefined,
  cachePages: number,
): PhysicalMemory<Gfn> {
  // A page's slot is its frame modulo their number: a look-up is two array loads, and pages in use, which mostly lie
  // together, seldom push each other out. One pushed out stays valid for whoever holds it, as it never changes.
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1, cachePages)));
  const frames = new Float64Array(slots).fill(-1);
  const pages = new Array<PageView | undefined>(slots).fill(undefined);
  return {
    page(frame) {
      const slot = frame % slots;
      if (frames[slot] === frame) return pages[slot];
      const page = load(frame);
      frames[slot] = frame;
      pages[slot] = page;
      return page;
    },
    writablePage(frame) {
      throw new VmcoreError(
        `a dump cannot be written (frame 0x${frame.toString(16)}): write to an overlay over its memory`,
      );
    },
  };
}
