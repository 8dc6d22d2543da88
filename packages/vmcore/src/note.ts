import { type ByteSource, readFields } from './byte-source.ts';
import { type ProgramHeader, PT_NOTE } from './elf-header.ts';
import { VmcoreError } from './error.ts';

/** Real notes take some kilobytes, and about one for each CPU. */
const MAX_NOTE_BYTES = 2 ** 24;
/** An empty note takes 12 bytes of the file, but some hundred in memory. */
const MAX_NOTES = 2 ** 16;

/** A note of an ELF file (System V gABI, chapter 5). */
export interface Note {
  /** Without the terminating zero: `CORE`, `QEMU`, `VMCOREINFO`. */
  readonly name: string;
  /** The name as the file has it, its terminating zero included. */
  readonly nameBytes: Uint8Array;
  readonly type: number;
  /** Where the descriptor lies in the file. */
  readonly offset: number;
  readonly descriptor: Uint8Array;
}

/** All notes in file order. @throws {VmcoreError} when one overruns its segment, or they are absurdly large */
export function readNotes(source: ByteSource, headers: readonly ProgramHeader[]): Note[] {
  const notes: Note[] = [];
  let total = 0;
  for (const { type, at, fileOffset, fileSize } of headers) {
    if (type !== PT_NOTE) continue;
    total += fileSize;
    if (total > MAX_NOTE_BYTES) {
      throw new VmcoreError(`${total} bytes of notes: expected at most ${MAX_NOTE_BYTES}`, {
        offset: at + 32,
      });
    }
    readSegment(readFields(source, fileOffset, fileSize), fileOffset, notes);
  }
  return notes;
}

function readSegment(segment: DataView, fileOffset: number, notes: Note[]): void {
  const bytes = new Uint8Array(segment.buffer);
  let at = 0;
  while (at < bytes.length) {
    const offset = fileOffset + at;
    if (at + 12 > bytes.length) {
      throw new VmcoreError(`a note's header of 12 bytes overruns the notes by ${at + 12 - bytes.length}`, {
        offset,
      });
    }
    const nameSize = segment.getUint32(at, true);
    const size = segment.getUint32(at + 4, true);
    const nameAt = at + 12;
    const descriptorAt = nameAt + padded(nameSize);
    const end = descriptorAt + size;
    if (end > bytes.length) {
      throw new VmcoreError(
        `a note with a name of ${nameSize} bytes and ${size} bytes of content overruns the notes by ${end - bytes.length}`,
        { offset },
      );
    }
    if (notes.length === MAX_NOTES) {
      throw new VmcoreError(`more than ${MAX_NOTES} notes`, { offset });
    }
    notes.push({
      name: String.fromCharCode(...bytes.subarray(nameAt, nameAt + Math.min(nameSize, 64))).replace(
        /\0.*$/s,
        '',
      ),
      nameBytes: bytes.subarray(nameAt, nameAt + nameSize),
      type: segment.getUint32(at + 8, true),
      offset: fileOffset + descriptorAt,
      descriptor: bytes.subarray(descriptorAt, end),
    });
    at = descriptorAt + padded(size);
  }
}

/** Names and contents are padded to four bytes; the last note of a dump may lack the padding behind it. */
function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
