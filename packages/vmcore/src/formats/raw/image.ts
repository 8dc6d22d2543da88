import { PAGE_SIZE } from '@heki/physical-memory';
import type { ByteSource } from '../../byte-source.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import type { Note } from '../../note.ts';
import { parseVmcoreinfo } from '../../vmcoreinfo.ts';
import { type DumpContents, type DumpWarning, hasText, type ReadSettings } from '../dump-format.ts';
import type { ElfSegment } from '../elf/segment.ts';
import { createSegmentMemory } from '../elf/segment-memory.ts';

/** How the kernel's text of VMCOREINFO begins, which has a page of its own (Linux, kernel/crash_core.c). */
const BEGINNING = 'OSRELEASE=';
/** What is read at a time. */
const CHUNK = 2 ** 20;
/** More copies of VMCOREINFO than a guest has. */
const MOST_COPIES = 16;

/**
 * The contents of an image of memory alone. There are no notes in one, but the kernel keeps the text of VMCOREINFO for those who
 * will dump it: all of the image is looked through for it, unless it is larger than 64 GiB. Where copies say different things, none is
 * believed.
 */
export function imageContents(
  source: ByteSource,
  segments: readonly ElfSegment[],
  { cachePages }: ReadSettings,
  format: string,
): DumpContents {
  const bytes = segments.reduce((sum, { start, end }) => sum + (end - start), 0);
  const found = bytes > DUMP_LIMITS.searchedBytes ? [] : vmcoreinfoPages(source, segments);
  const [first] = found;
  const agree = found.every((note) => saysTheSame(note, first));
  return {
    format,
    memory: createSegmentMemory(source, segments, cachePages),
    segments: segments.map(({ start, end }) => ({ start, end })),
    notes: first === undefined || !agree ? [] : [first],
    warnings: bytes > DUMP_LIMITS.searchedBytes ? [UNSEARCHED] : [],
  };
}

const UNSEARCHED: DumpWarning = {
  id: 'unsearched',
  message: `the image is larger than ${DUMP_LIMITS.searchedBytes / 2 ** 30} GiB, so it was not looked through for VMCOREINFO`,
};

function vmcoreinfoPages(source: ByteSource, segments: readonly ElfSegment[]): Note[] {
  const notes: Note[] = [];
  const chunk = new Uint8Array(CHUNK);
  for (const { start, end, fileOffset } of segments) {
    const aligned = Math.ceil(start / PAGE_SIZE) * PAGE_SIZE;
    for (let at = aligned; at + PAGE_SIZE <= end; at += CHUNK) {
      const length = Math.min(CHUNK, Math.floor((end - at) / PAGE_SIZE) * PAGE_SIZE);
      const bytes = chunk.subarray(0, length);
      source.read(fileOffset + (at - start), bytes);
      for (let page = 0; page < length && notes.length < MOST_COPIES; page += PAGE_SIZE) {
        if (!hasText(bytes, BEGINNING, page)) continue;
        const note = noteOf(bytes.slice(page, page + PAGE_SIZE), fileOffset + (at - start) + page);
        if (note !== undefined) notes.push(note);
      }
    }
  }
  return notes;
}

/** The page as the note that it would be in a dump; `undefined` when it only looks like it. */
function noteOf(page: Uint8Array, offset: number): Note | undefined {
  const end = page.indexOf(0);
  const descriptor = page.subarray(0, end === -1 ? page.length : end);
  if (parseVmcoreinfo(new TextDecoder('latin1').decode(descriptor)).swapperPgDir === undefined)
    return undefined;
  const name = 'VMCOREINFO';
  return { name, nameBytes: new TextEncoder().encode(`${name}\0`), type: 0, offset, descriptor };
}

function saysTheSame(a: Note, b: Note | undefined): boolean {
  return (
    a.descriptor.length === b?.descriptor.length &&
    a.descriptor.every((byte, at) => byte === b?.descriptor[at])
  );
}
