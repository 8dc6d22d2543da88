import { type Gfn, PAGE_SIZE, type PageView } from '@heki/physical-memory';
import { PT_LOAD, PT_NOTE } from '../formats/elf/elf-header.ts';
import type { Note } from '../note.ts';

const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const SECTION_HEADER_SIZE = 64;
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
/** 64-bit, little-endian, version 1; ET_CORE; EM_X86_64 (System V gABI, chapter 4). */
const [CLASS_64, LITTLE_ENDIAN, VERSION, ET_CORE, EM_X86_64] = [2, 1, 1, 4, 62];
/** In e_phnum: the number does not fit and stands in sh_info of section header 0. */
const PN_XNUM = 0xffff;
/** Pages that are handed out together: 256 KiB. */
const PAGES_AT_A_TIME = 64;

/** What a core holds. */
export interface CoreContents {
  readonly notes: readonly Note[];
  /** The frames whose pages it holds, ascending. */
  readonly frames: readonly Gfn[];
  /** The page of one of `frames`. */
  page(frame: Gfn): PageView;
}

/** A core that is about to be written. */
export interface WrittenCore {
  /** In bytes. */
  readonly size: number;
  /** Its bytes in order. Each chunk is made when it is asked for. */
  chunks(): Generator<Uint8Array, void>;
}

/**
 * An ELF core by physical address, of the form that QEMU's `dump-guest-memory` writes: notes, then a PT_LOAD for each
 * run of frames, at file offsets that are multiples of a page. The same contents give the same bytes.
 */
export function writeCore({ notes, frames, page }: CoreContents): WrittenCore {
  const runs = runsOf(frames);
  const count = runs.length + 1;
  const extended = count >= PN_XNUM;
  const noteBytes = encodeNotes(notes);
  const sectionAt = HEADER_SIZE + count * PROGRAM_HEADER_SIZE;
  const notesAt = sectionAt + (extended ? SECTION_HEADER_SIZE : 0);
  const pagesAt = Math.ceil((notesAt + noteBytes.length) / PAGE_SIZE) * PAGE_SIZE;

  function head(): Uint8Array {
    const bytes = new Uint8Array(pagesAt);
    const view = new DataView(bytes.buffer);
    bytes.set([...ELF_MAGIC, CLASS_64, LITTLE_ENDIAN, VERSION]);
    view.setUint16(16, ET_CORE, true);
    view.setUint16(18, EM_X86_64, true);
    view.setUint32(20, VERSION, true);
    view.setBigUint64(32, BigInt(HEADER_SIZE), true);
    view.setUint16(52, HEADER_SIZE, true);
    view.setUint16(54, PROGRAM_HEADER_SIZE, true);
    view.setUint16(56, extended ? PN_XNUM : count, true);
    if (extended) {
      view.setBigUint64(40, BigInt(sectionAt), true);
      view.setUint16(58, SECTION_HEADER_SIZE, true);
      view.setUint16(60, 1, true);
      view.setUint32(sectionAt + 44, count, true);
    }
    const programHeader = (index: number, type: number, offset: number, address: number, size: number) => {
      const at = HEADER_SIZE + index * PROGRAM_HEADER_SIZE;
      view.setUint32(at, type, true);
      view.setBigUint64(at + 8, BigInt(offset), true);
      view.setBigUint64(at + 24, BigInt(address), true);
      view.setBigUint64(at + 32, BigInt(size), true);
      view.setBigUint64(at + 40, BigInt(size), true);
    };
    programHeader(0, PT_NOTE, notesAt, 0, noteBytes.length);
    let offset = pagesAt;
    for (const [index, { start, frames: length }] of runs.entries()) {
      programHeader(index + 1, PT_LOAD, offset, start * PAGE_SIZE, length * PAGE_SIZE);
      offset += length * PAGE_SIZE;
    }
    bytes.set(noteBytes, notesAt);
    return bytes;
  }

  return {
    size: pagesAt + frames.length * PAGE_SIZE,
    *chunks() {
      yield head();
      for (let from = 0; from < frames.length; from += PAGES_AT_A_TIME) {
        const some = frames.slice(from, from + PAGES_AT_A_TIME);
        const bytes = new Uint8Array(some.length * PAGE_SIZE);
        const words = new Uint32Array(bytes.buffer);
        for (const [index, frame] of some.entries()) words.set(page(frame), (index * PAGE_SIZE) / 4);
        yield bytes;
      }
    },
  };
}

function runsOf(frames: readonly Gfn[]): { readonly start: Gfn; frames: number }[] {
  const runs: { readonly start: Gfn; frames: number }[] = [];
  for (const frame of frames) {
    const last = runs.at(-1);
    if (last !== undefined && last.start + last.frames === frame) last.frames++;
    else runs.push({ start: frame, frames: 1 });
  }
  return runs;
}

/** Notes one after the other, names and contents padded to four bytes (System V gABI, chapter 5). */
function encodeNotes(notes: readonly Note[]): Uint8Array {
  const padded = (size: number) => Math.ceil(size / 4) * 4;
  const sizes = notes.map(
    ({ nameBytes, descriptor }) => 12 + padded(nameBytes.length) + padded(descriptor.length),
  );
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [index, { nameBytes, type, descriptor }] of notes.entries()) {
    view.setUint32(at, nameBytes.length, true);
    view.setUint32(at + 4, descriptor.length, true);
    view.setUint32(at + 8, type, true);
    bytes.set(nameBytes, at + 12);
    bytes.set(descriptor, at + 12 + padded(nameBytes.length));
    at += sizes[index] ?? 0;
  }
  return bytes;
}
