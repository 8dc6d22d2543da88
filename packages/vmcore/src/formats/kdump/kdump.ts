import { type Gfn, PAGE_SIZE, type PageView } from '@heki/physical-memory';
import { type ByteSource, readBytesAt, readFields } from '../../byte-source.ts';
import type { DumpWarning } from '../../dump-warning.ts';
import { VmcoreError } from '../../error.ts';
import { type Note, type NotesPlace, readNotes } from '../../note.ts';
import { cachedMemory } from '../../page-cache.ts';
import { type DumpFormat, hasText, type Inflate } from '../dump-format.ts';
import { decompressPage, packingName } from './decompress-page.ts';
import { type KdumpHeader, readKdumpHeader } from './kdump-header.ts';
import { type PageBitmap, pageBitmap } from './page-bitmap.ts';

/** Of `struct page_desc`: offset, size, flags, and flags of the page, which are not filled. */
const DESCRIPTOR_SIZE = 24;
/** No way of packing makes a page larger than so: lzo's worst is a sixteenth and 67 bytes more. */
const MOST_PACKED = 2 * PAGE_SIZE;
const MAX_VMCOREINFO = 2 ** 20;

/**
 * A kdump-compressed file, as makedumpfile and QEMU's `dump-guest-memory -z` write it: a bitmap of the pages that it holds, and
 * each of them packed by itself. Pages that were filtered out are absent. Opening one reads headers, bitmap and notes.
 */
export const kdump: DumpFormat = {
  looksAt: 8,
  recognises: (start) => hasText(start, 'KDUMP   '),
  read(source, { cachePages, inflate, isCut = false }) {
    const header = readKdumpHeader(source);
    const { start, end } = header.part ?? { start: 0, end: header.frames };
    // A part for which no pages were left is written without a bitmap.
    const bits = start < end ? readBitmap(source, header.bitmap) : new Uint8Array();
    const bitmap = pageBitmap(bits, start, Math.min(end, header.frames));
    const cut = cutShort(source, header.descriptors, bitmap.count);
    const lacksPages = cut || isCut || header.incomplete;
    let segments: ReturnType<PageBitmap['segments']> | undefined;
    return {
      format: `kdump (${packingName(header.status)})`,
      memory: cachedMemory(
        (frame) => readPage(source, header, bitmap, frame, lacksPages, inflate),
        cachePages,
      ),
      get segments() {
        segments ??= bitmap.segments();
        return segments;
      },
      notes: notesOf(source, header),
      warnings: [
        ...warningsOf(header, cut),
        ...(followsDescriptors(source, header.descriptors, bitmap.count) || lacksPages ? [] : [SHIFTED]),
      ],
      part:
        header.part === undefined ? undefined : { start, end, of: header.frames, identity: header.identity },
    };
  },
};

/** Where a page is in the file depends on every bit before its own, so none may be missing. */
function readBitmap(source: ByteSource, { offset, length }: KdumpHeader['bitmap']): Uint8Array {
  if (source.hasHole?.(offset, length) === true) {
    throw new VmcoreError(
      'a bitmap that no chunk of the flattened dump has whole: a part of the file was lost',
      {
        offset,
      },
    );
  }
  return readBytesAt(source, offset, length);
}

/**
 * A page; `undefined` where the dump does not hold it, or lacks pages and this is one of them.
 *
 * @throws {VmcoreError} when it is damaged
 */
function readPage(
  source: ByteSource,
  { descriptors }: KdumpHeader,
  bitmap: PageBitmap,
  frame: Gfn,
  lacksPages: boolean,
  inflate: Inflate | undefined,
): PageView | undefined {
  const rank = bitmap.rank(frame);
  if (rank === undefined) return undefined;
  const at = descriptors + rank * DESCRIPTOR_SIZE;
  if (lacksPages && at + DESCRIPTOR_SIZE > source.size) return undefined;
  const descriptor = readFields(source, at, DESCRIPTOR_SIZE);
  const offset = Number(descriptor.getBigUint64(0, true));
  const size = descriptor.getUint32(8, true);
  if (lacksPages && (offset === 0 || offset + size > source.size)) return undefined;
  const start = descriptors + bitmap.count * DESCRIPTOR_SIZE;
  if (offset < start || offset + size > source.size) {
    const where = `between 0x${start.toString(16)}, where descriptors end, and the end of the file`;
    throw new VmcoreError(`a page of ${size} bytes at 0x${offset.toString(16)}: expected them ${where}`, {
      offset: at,
    });
  }
  if (size > MOST_PACKED) {
    throw new VmcoreError(`a page of ${size} bytes: expected at most ${MOST_PACKED}`, { offset: at + 8 });
  }
  if (source.hasHole?.(offset, size) === true) {
    throw new VmcoreError('a page that no chunk of the flattened dump has: a part of the file was lost', {
      offset,
    });
  }
  try {
    return decompressPage(readBytesAt(source, offset, size), descriptor.getUint32(12, true), inflate);
  } catch (error) {
    if (!(error instanceof VmcoreError) || error.offset !== undefined) throw error;
    throw new VmcoreError(error.message, { offset, cause: error });
  }
}

function notesOf(source: ByteSource, { notes, vmcoreinfo }: KdumpHeader): Note[] {
  const found = notes === undefined ? [] : readNotes(source, [notes]);
  if (vmcoreinfo === undefined || found.some(({ name }) => name === 'VMCOREINFO')) return found;
  return [...found, vmcoreinfoNote(source, vmcoreinfo)];
}

/** The text of VMCOREINFO, which makedumpfile keeps beside the notes, as the note that it was. */
function vmcoreinfoNote(source: ByteSource, { fileOffset, fileSize, saidAt }: NotesPlace): Note {
  if (fileSize > MAX_VMCOREINFO) {
    throw new VmcoreError(`VMCOREINFO of ${fileSize} bytes: expected at most ${MAX_VMCOREINFO}`, {
      offset: saidAt + 8,
    });
  }
  const name = 'VMCOREINFO';
  return {
    name,
    nameBytes: new TextEncoder().encode(`${name}\0`),
    type: 0,
    offset: fileOffset,
    descriptor: readBytesAt(source, fileOffset, fileSize),
  };
}

function warningsOf({ incomplete }: KdumpHeader, cut: boolean): DumpWarning[] {
  if (!incomplete && !cut) return [];
  const message = incomplete
    ? 'makedumpfile did not finish this dump: pages that it did not come to are absent'
    : 'the dump was cut short: pages that lie behind the end of the file, or were not written, are absent';
  return [{ id: 'truncated', message }];
}

/** Descriptors that are read at a time. */
const CHUNK = 4096;

const SHIFTED: DumpWarning = {
  id: 'bitmap-contradicted',
  message:
    'no page lies right behind the descriptors, as makedumpfile and QEMU put one: the bitmap of pages may be damaged, and pages be taken for others',
};

/**
 * Whether the first page lies right behind as many descriptors as the bitmap has pages: of a bitmap in which a bit was lost or gained, every page
 * behind it would be taken for another.
 *
 * @throws {VmcoreError} when a page lies where a descriptor would be
 */
function followsDescriptors(source: ByteSource, descriptors: number, count: number): boolean {
  const end = descriptors + count * DESCRIPTOR_SIZE;
  for (let start = 0; start < count; start += CHUNK) {
    const length = Math.min(CHUNK, count - start) * DESCRIPTOR_SIZE;
    const at = descriptors + start * DESCRIPTOR_SIZE;
    if (at + length > source.size) return false;
    const chunk = readFields(source, at, length);
    let found = false;
    for (let next = 0; next < length; next += DESCRIPTOR_SIZE) {
      const offset = Number(chunk.getBigUint64(next, true));
      if (offset >= descriptors && offset < end) {
        throw new VmcoreError(
          `a page at 0x${offset.toString(16)}, where the bitmap has a descriptor: it has more pages than the dump`,
          { offset: at + next },
        );
      }
      found ||= offset === end;
    }
    if (found) return true;
  }
  return count === 0;
}

/**
 * Whether the page that lies last in the file is not there, or was not written before makedumpfile ended. That is the last one with a place of
 * its own: all pages of zeros are one in the file, where the first of them was written.
 */
function cutShort(source: ByteSource, descriptors: number, count: number): boolean {
  if (descriptors + count * DESCRIPTOR_SIZE > source.size) return true;
  let shared: number | undefined;
  for (let end = count; end > 0; end -= CHUNK) {
    const start = Math.max(0, end - CHUNK);
    const chunk = readFields(source, descriptors + start * DESCRIPTOR_SIZE, (end - start) * DESCRIPTOR_SIZE);
    for (let at = (end - start - 1) * DESCRIPTOR_SIZE; at >= 0; at -= DESCRIPTOR_SIZE) {
      const offset = Number(chunk.getBigUint64(at, true));
      const isUnwritten = shared === undefined && offset === 0;
      if (isUnwritten || offset + chunk.getUint32(at + 8, true) > source.size) return true;
      shared ??= offset;
      if (offset !== shared) return false;
    }
  }
  return false;
}
