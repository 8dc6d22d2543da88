import type { ByteSource } from '../../byte-source.ts';
import type { DumpWarning } from '../../dump-warning.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import type { DumpContents, ReadSettings } from '../dump-format.ts';
import type { ElfSegment } from '../elf/segment.ts';
import { createSegmentMemory } from '../elf/segment-memory.ts';
import { type ImageSearch, searchImage } from './search-image.ts';

/**
 * What there is to see in an image; `undefined` when it is larger than 64 GiB, and is not looked through: part of it could show one
 * copy of VMCOREINFO where there are others that disagree.
 */
export function searchUpTo64GiB(
  source: ByteSource,
  segments: readonly ElfSegment[],
): ImageSearch | undefined {
  const bytes = segments.reduce((sum, { start, end }) => sum + (end - start), 0);
  return bytes > DUMP_LIMITS.searchedBytes ? undefined : searchImage(source, segments);
}

/**
 * The contents of an image of memory alone. There are no notes in one, but the kernel keeps the text of VMCOREINFO for those who
 * will dump it.
 */
export function imageContents(
  source: ByteSource,
  segments: readonly ElfSegment[],
  search: ImageSearch | undefined,
  { cachePages }: ReadSettings,
  format: string,
): DumpContents {
  return {
    format,
    memory: createSegmentMemory(source, segments, cachePages),
    segments: segments.map(({ start, end }) => ({ start, end })),
    notes: search?.vmcoreinfo ?? [],
    warnings: search === undefined ? [UNSEARCHED] : [],
    rootLikePages: search?.rootLikePages,
  };
}

const UNSEARCHED: DumpWarning = {
  id: 'unsearched',
  message: `the image is larger than ${DUMP_LIMITS.searchedBytes / 2 ** 30} GiB, so it was not looked through for VMCOREINFO`,
};
