import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { KernelImageError } from './error.ts';
import { parseRelocations, type Relocations } from './relocations.ts';

/** A part of an image that is loaded. */
export interface ImageSegment {
  /** Where it was linked. */
  readonly address: VirtualAddress;
  readonly bytes: Uint8Array;
  /** `init`: freed once the kernel has booted, as the template of CPUs' variables is. Behind text are constants, and a gap that is freed, too. */
  readonly kind: 'text' | 'data' | 'init';
}

/** A named part of what is loaded: `.altinstructions`. Its bytes are those of the segment around it. */
export interface ImageSection {
  readonly name: string;
  /** Where it was linked. */
  readonly address: VirtualAddress;
  /** In bytes. */
  readonly size: number;
}

/** A kernel's image, as it was linked. */
export interface Vmlinux {
  /** Its segments where images lie, ascending; what follows them and is not in the file, .bss, is left out. */
  readonly segments: readonly ImageSegment[];
  /** Its sections that are loaded where images lie; none where the file has lost their headers. */
  readonly sections: readonly ImageSection[];
  /** What must change when it is moved; `undefined` when the file does not say. */
  readonly relocations: Relocations | undefined;
  /** Of `Linux version …` in its constants: `6.1.0-56-cloud-amd64`. */
  readonly release: string | undefined;
  /** GNU build id, as hexadecimal digits: no two builds have the same. `undefined` where the image has none. */
  readonly buildId: string | undefined;
}

const PT_LOAD = 1;
const PT_NOTE = 4;
/** Its notes take some hundred bytes. */
const MOST_NOTE_BYTES = 2 ** 16;
const EM_X86_64 = 62;
const PROGRAM_HEADER = 56;
const SECTION_HEADER = 64;
const MOST_SEGMENTS = 256;
/** A vmlinux has some dozen. */
const MOST_SECTIONS = 4096;
const LONGEST_NAME = 64;
const SHF_ALLOC = 2;
/** By p_flags (vmlinux.lds.S, PHDRS): r-x text, rw- data, rwx init. */
const SEGMENT_KINDS: Readonly<Record<number, ImageSegment['kind']>> = { 5: 'text', 6: 'data', 7: 'init' };
/** `__START_KERNEL_map`. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;

export function isElf(bytes: Uint8Array): boolean {
  return (
    bytes.length > 64 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
  );
}

/** How many bytes from the beginning of an ELF file hold all that is loaded of it, by its `start`; `undefined` when its headers are not in that. */
export function loadedBytes(start: Uint8Array): number | undefined {
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const headers = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  let end = 0;
  for (let at = headers; at < headers + count * PROGRAM_HEADER; at += PROGRAM_HEADER) {
    if (at + PROGRAM_HEADER > start.length) return undefined;
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    end = Math.max(end, Number(view.getBigUint64(at + 8, true)) + Number(view.getBigUint64(at + 32, true)));
  }
  return end;
}

/** Parses a vmlinux, with the table of relocations behind it where it comes out of a bzImage. @throws {KernelImageError} when it is not one */
export function parseVmlinux(file: Uint8Array): Vmlinux {
  // Of a subclass whose slices are not copies, as Node's, nothing is left.
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!isElf(bytes) || bytes[4] !== 2 || bytes[5] !== 1 || view.getUint16(18, true) !== EM_X86_64) {
    throw new KernelImageError('not a kernel of x86-64: expected an ELF file of 64 bits');
  }
  const number64 = (at: number): number => Number(view.getBigUint64(at, true));
  const headers = number64(32);
  const count = view.getUint16(56, true);
  if (count > MOST_SEGMENTS || headers + count * PROGRAM_HEADER > bytes.length) {
    throw new KernelImageError(`its ${count} program headers are not in the file`, { offset: 32 });
  }
  const segments: ImageSegment[] = [];
  let end = 0;
  let buildId: string | undefined;
  for (let index = 0; index < count; index++) {
    const at = headers + index * PROGRAM_HEADER;
    const offset = number64(at + 8);
    // By its place in memory: variables of CPUs were linked at 0 until Linux 6.14, and their template lies there like all else.
    const address = KERNEL_MAP + view.getBigUint64(at + 24, true);
    const size = number64(at + 32);
    if (view.getUint32(at, true) === PT_NOTE && size <= MOST_NOTE_BYTES) {
      buildId ??= buildIdOf(bytes.slice(offset, offset + size));
    }
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    if (offset + size > bytes.length)
      throw new KernelImageError(`segment ${index} does not end in the file`, { offset: at });
    end = Math.max(end, offset + size);
    if (address < 1n << 64n && size > 0) {
      const isLinkedHere = view.getBigUint64(at + 16, true) === address;
      const kind = isLinkedHere ? (SEGMENT_KINDS[view.getUint32(at + 4, true)] ?? 'init') : 'init';
      segments.push({ address: virtualAddress(address), bytes: bytes.subarray(offset, offset + size), kind });
    }
  }
  if (segments.length === 0)
    throw new KernelImageError('it has no segment where kernels are linked: it is not a vmlinux');
  segments.sort((a, b) => (a.address < b.address ? -1 : 1));
  return {
    segments,
    sections: sectionsOf(view),
    relocations: parseRelocations(bytes.subarray(endOfElf(view, end))),
    release: releaseOf(segments),
    buildId,
  };
}

/** `NT_GNU_BUILD_ID` with its name, and how long an id may be. */
const BUILD_ID_NOTE = { type: 3, name: 'GNU\0', most: 64 } as const;

/** The build id among notes of an ELF file. */
function buildIdOf(notes: Uint8Array): string | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.length);
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameAt = at + 12;
    const idAt = nameAt + Math.ceil(view.getUint32(at, true) / 4) * 4;
    const size = view.getUint32(at + 4, true);
    const name = String.fromCharCode(...notes.subarray(nameAt, nameAt + BUILD_ID_NOTE.name.length));
    const isBuildId = view.getUint32(at + 8, true) === BUILD_ID_NOTE.type && name === BUILD_ID_NOTE.name;
    if (isBuildId && size <= BUILD_ID_NOTE.most && idAt + size <= notes.length) {
      return Array.from(notes.subarray(idAt, idAt + size), (byte) => byte.toString(16).padStart(2, '0')).join(
        '',
      );
    }
    at = idAt + Math.ceil(size / 4) * 4;
  }
  return undefined;
}

/** Where the ELF file ends: behind its segments, its sections and their headers. */
function endOfElf(view: DataView, end: number): number {
  const headers = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  if (headers === 0 || headers + count * SECTION_HEADER > view.byteLength) return end;
  let last = Math.max(end, headers + count * SECTION_HEADER);
  for (let index = 0; index < count; index++) {
    const at = headers + index * SECTION_HEADER;
    const isInFile = view.getUint32(at + 4, true) !== 8;
    if (isInFile)
      last = Math.max(
        last,
        Number(view.getBigUint64(at + 24, true)) + Number(view.getBigUint64(at + 32, true)),
      );
  }
  return Math.min(last, view.byteLength);
}

function sectionsOf(view: DataView): ImageSection[] {
  const headers = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const names = view.getUint16(62, true);
  const inFile = headers > 0 && headers + count * SECTION_HEADER <= view.byteLength;
  if (!inFile || count > MOST_SECTIONS || names >= count) return [];
  const namesAt = Number(view.getBigUint64(headers + names * SECTION_HEADER + 24, true));
  const sections: ImageSection[] = [];
  for (let index = 0; index < count; index++) {
    const at = headers + index * SECTION_HEADER;
    const address = view.getBigUint64(at + 16, true);
    const isLoaded = (view.getUint32(at + 8, true) & SHF_ALLOC) !== 0 && address >= KERNEL_MAP;
    const size = Number(view.getBigUint64(at + 32, true));
    if (!isLoaded || size > 2 ** 31) continue;
    sections.push({
      name: textAt(view, namesAt + view.getUint32(at, true)),
      address: virtualAddress(address),
      size,
    });
  }
  return sections;
}

function textAt(view: DataView, start: number): string {
  let text = '';
  for (let at = start; at < view.byteLength && text.length < LONGEST_NAME; at++) {
    const letter = view.getUint8(at);
    if (letter === 0) break;
    text += String.fromCharCode(letter);
  }
  return text;
}

const BANNER = 'Linux version ';

function releaseOf(segments: readonly ImageSegment[]): string | undefined {
  const letters = Array.from(BANNER, (letter) => letter.charCodeAt(0));
  for (const { bytes } of segments) {
    for (let at = bytes.indexOf(letters[0] ?? 0); at >= 0; at = bytes.indexOf(letters[0] ?? 0, at + 1)) {
      if (!letters.every((letter, index) => bytes[at + index] === letter)) continue;
      const release = /^[!-~]+/.exec(
        String.fromCharCode(...bytes.subarray(at + letters.length, at + letters.length + 80)),
      )?.[0];
      // A format of printf begins in the same way.
      if (release !== undefined && /^[0-9]/.test(release)) return release;
    }
  }
  return undefined;
}
