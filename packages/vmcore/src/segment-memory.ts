import { type Gfn, PAGE_SIZE, PAGE_WORDS, type PageView, type PhysicalMemory } from '@heki/physical-memory';
import type { ByteSource } from './byte-source.ts';
import { VmcoreError } from './error.ts';
import type { VmcoreSegment } from './segment.ts';

/** What the file does not hold of a segment's memory. Its type forbids writing. */
const ZERO_PAGE: PageView = new Uint32Array(PAGE_WORDS);

/**
 * The memory that `segments` (sorted, apart) hold. A page is present when a segment holds any byte of it; bytes of
 * it that none holds read zero. Pages are read when first asked for, and at most `cachePages` of them are kept.
 */
export function createSegmentMemory(
  source: ByteSource,
  segments: readonly VmcoreSegment[],
  cachePages: number,
): PhysicalMemory<Gfn> {
  const ends = Float64Array.from(segments, ({ end }) => end);
  // A page's slot is its frame modulo their number: a look-up is two array loads, and pages in use, which mostly lie
  // together, seldom push each other out. One pushed out stays valid for whoever holds it, as it never changes.
  const slots = 2 ** Math.ceil(Math.log2(Math.max(1, cachePages)));
  const frames = new Float64Array(slots).fill(-1);
  const pages = new Array<PageView | undefined>(slots).fill(undefined);

  /** The first segment that ends above `address`. */
  function segmentAbove(address: number): number {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function load(frame: Gfn): PageView | undefined {
    const start = frame * PAGE_SIZE;
    const first = segmentAbove(start);
    const segment = segments[first];
    if (segment === undefined || segment.start >= start + PAGE_SIZE) return undefined;
    if (segment.start <= start && start + PAGE_SIZE <= segment.start + segment.fileSize) {
      const words = source.words(segment.fileOffset + (start - segment.start), PAGE_WORDS);
      if (words !== undefined) return words;
    }
    let page: Uint32Array | undefined;
    for (let index = first; index < segments.length; index++) {
      const part = segments[index];
      if (part === undefined || part.start >= start + PAGE_SIZE) break;
      const from = Math.max(start, part.start);
      const to = Math.min(start + PAGE_SIZE, part.start + part.fileSize);
      if (to <= from) continue;
      page ??= new Uint32Array(PAGE_WORDS);
      const target = new Uint8Array(page.buffer, from - start, to - from);
      source.read(part.fileOffset + (from - part.start), target);
    }
    return page ?? ZERO_PAGE;
  }

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
