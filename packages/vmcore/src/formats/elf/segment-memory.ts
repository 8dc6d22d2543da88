import { type Gfn, PAGE_SIZE, PAGE_WORDS, type PageView, type PhysicalMemory } from '@heki/physical-memory';
import type { ByteSource } from '../../byte-source.ts';
import { VmcoreError } from '../../error.ts';
import { cachedMemory } from '../../page-cache.ts';
import type { ElfSegment } from './segment.ts';

/**
 * The memory that `segments` (sorted, apart) hold. A page is present when a segment holds any byte of it; bytes of
 * it that none holds read zero. Pages are read when first asked for, and at most `cachePages` of them are kept.
 */
export function createSegmentMemory(
  source: ByteSource,
  segments: readonly ElfSegment[],
  cachePages: number,
): PhysicalMemory<Gfn> {
  const ends = Float64Array.from(segments, ({ end }) => end);

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
    if (segment.start <= start && start + PAGE_SIZE <= segment.end) {
      const words = source.words(segment.fileOffset + (start - segment.start), PAGE_WORDS);
      if (words !== undefined) return words;
    }
    let page: Uint32Array | undefined;
    for (let index = first; index < segments.length; index++) {
      const part = segments[index];
      if (part === undefined || part.start >= start + PAGE_SIZE) break;
      const from = Math.max(start, part.start);
      const to = Math.min(start + PAGE_SIZE, part.end);
      page ??= new Uint32Array(PAGE_WORDS);
      const target = new Uint8Array(page.buffer, from - start, to - from);
      const offset = part.fileOffset + (from - part.start);
      if (source.hasHole?.(offset, target.length) === true) {
        throw new VmcoreError('memory that no chunk of the flattened dump has: a part of the file was lost', {
          offset,
        });
      }
      source.read(offset, target);
    }
    return page;
  }

  return cachedMemory(load, cachePages);
}
