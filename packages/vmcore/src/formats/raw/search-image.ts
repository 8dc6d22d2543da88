import { type Gfn, PAGE_SIZE, PAGE_WORDS } from '@heki/physical-memory';
import type { ByteSource } from '../../byte-source.ts';
import type { Note } from '../../note.ts';
import { isRootLike } from '../../root/root-like.ts';
import { parseVmcoreinfo } from '../../vmcoreinfo.ts';
import { hasText } from '../dump-format.ts';
import type { ElfSegment } from '../elf/segment.ts';

/** How the kernel's text of VMCOREINFO begins, which has a page of its own (Linux, kernel/crash_core.c). */
const BEGINNING = 'OSRELEASE=';
/** What is read at a time. */
const CHUNK = 2 ** 20;
/** More copies of VMCOREINFO than a guest has. */
const MOST_COPIES = 16;

/** What a look at every page of an image shows. */
export interface ImageSearch {
  /** Every copy of VMCOREINFO that says something of its own, as the note that it would be in a dump. */
  readonly vmcoreinfo: readonly Note[];
  /** The frames with the structure of a root table. */
  readonly rootLikePages: readonly Gfn[];
}

/** Reads all of an image, once, in large pieces. */
export function searchImage(source: ByteSource, segments: readonly ElfSegment[]): ImageSearch {
  const notes: Note[] = [];
  const rootLikePages: Gfn[] = [];
  const longest = segments.reduce((longest, { start, end }) => Math.max(longest, end - start), 0);
  const words = new Uint32Array(Math.min(CHUNK, Math.floor(longest / PAGE_SIZE) * PAGE_SIZE) / 4);
  const chunk = new Uint8Array(words.buffer);
  for (const { start, end, fileOffset } of segments) {
    const aligned = Math.ceil(start / PAGE_SIZE) * PAGE_SIZE;
    for (let at = aligned; at + PAGE_SIZE <= end; at += CHUNK) {
      const length = Math.min(CHUNK, Math.floor((end - at) / PAGE_SIZE) * PAGE_SIZE);
      const offset = fileOffset + (at - start);
      source.read(offset, chunk.subarray(0, length));
      for (let page = 0; page * PAGE_SIZE < length; page++) {
        if (isRootLike(words, page * PAGE_WORDS)) rootLikePages.push((at / PAGE_SIZE + page) as Gfn);
        const first = page * PAGE_SIZE;
        if (!hasText(chunk, BEGINNING, first) || notes.length === MOST_COPIES) continue;
        const note = noteOf(chunk.slice(first, first + PAGE_SIZE), offset + first);
        if (note !== undefined) notes.push(note);
      }
    }
  }
  const vmcoreinfo = notes.filter(
    (note, index) => notes.findIndex((one) => saysTheSame(one, note)) === index,
  );
  return { vmcoreinfo, rootLikePages };
}

/** The page as the note that it would be in a dump; `undefined` when it only looks like it. */
function noteOf(page: Uint8Array, offset: number): Note | undefined {
  const end = page.indexOf(0);
  const descriptor = page.subarray(0, end === -1 ? page.length : end);
  // Of any machine: which one is told when its tables are looked for.
  if (!parseVmcoreinfo(new TextDecoder('latin1').decode(descriptor)).values.has('SYMBOL(swapper_pg_dir)')) {
    return undefined;
  }
  const name = 'VMCOREINFO';
  return { name, nameBytes: new TextEncoder().encode(`${name}\0`), type: 0, offset, descriptor };
}

function saysTheSame(a: Note, b: Note): boolean {
  return (
    a.descriptor.length === b.descriptor.length && a.descriptor.every((byte, at) => byte === b.descriptor[at])
  );
}
