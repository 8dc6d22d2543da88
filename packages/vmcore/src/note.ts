import { type ByteSource, readFields } from './byte-source.ts';
import { VmcoreError } from './error.ts';
import { DUMP_LIMITS } from './limits.ts';

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

/** Where notes are in a file. */
export interface NotesPlace {
  readonly fileOffset: number;
  readonly fileSize: number;
  /** Where the file says so. */
  readonly saidAt: number;
}

/** All notes in file order. @throws {VmcoreError} when one overruns its place, or they are absurdly large */
export function readNotes(source: ByteSource, places: readonly NotesPlace[]): Note[] {
  const notes: Note[] = [];
  let total = 0;
  for (const { saidAt, fileOffset, fileSize } of places) {
    total += fileSize;
    if (total > DUMP_LIMITS.noteBytes) {
      throw new VmcoreError(`${total} bytes of notes: expected at most ${DUMP_LIMITS.noteBytes}`, {
        offset: saidAt,
      });
    }
    readPlace(readFields(source, fileOffset, fileSize), fileOffset, notes);
  }
  return notes;
}

function readPlace(place: DataView, fileOffset: number, notes: Note[]): void {
  const bytes = new Uint8Array(place.buffer);
  let at = 0;
  while (at < bytes.length && !isPadding(bytes, at)) {
    const offset = fileOffset + at;
    if (at + 12 > bytes.length) {
      throw new VmcoreError(`a note's header of 12 bytes overruns the notes by ${at + 12 - bytes.length}`, {
        offset,
      });
    }
    const nameSize = place.getUint32(at, true);
    const size = place.getUint32(at + 4, true);
    const nameAt = at + 12;
    const descriptorAt = nameAt + padded(nameSize);
    const end = descriptorAt + size;
    if (end > bytes.length) {
      throw new VmcoreError(
        `a note with a name of ${nameSize} bytes and ${size} bytes of content overruns the notes by ${end - bytes.length}`,
        { offset },
      );
    }
    if (notes.length === DUMP_LIMITS.notes) {
      throw new VmcoreError(`more than ${DUMP_LIMITS.notes} notes`, { offset });
    }
    notes.push({
      name: String.fromCharCode(...bytes.subarray(nameAt, nameAt + Math.min(nameSize, 64))).replace(
        /\0.*$/s,
        '',
      ),
      nameBytes: bytes.subarray(nameAt, nameAt + nameSize),
      type: place.getUint32(at + 8, true),
      offset: fileOffset + descriptorAt,
      descriptor: bytes.subarray(descriptorAt, end),
    });
    at = descriptorAt + padded(size);
  }
}

/** Whether only zeros are left: Linux, too, ends notes at a header without a name (update_note_header_size_elf64). */
function isPadding(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0 && bytes.subarray(at).every((byte) => byte === 0);
}

/** Names and contents are padded to four bytes; the last note of a dump may lack the padding behind it. */
function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
