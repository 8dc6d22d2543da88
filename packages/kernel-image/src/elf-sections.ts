import { KernelImageError } from './error.ts';

/** A file that is read by position. */
export interface FileByPosition {
  /** In bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on, which lie within the file. */
  read(offset: number, length: number): Uint8Array;
}

/** A section of an ELF file (System V gABI, chapter 4). */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  /** Of a symbol table its strings, of relocations their symbols. */
  readonly link: number;
  /** Of relocations the section whose bytes they change. */
  readonly info: number;
}

export const SectionType = { SYMTAB: 2, STRTAB: 3, RELA: 4, NOTE: 7, NOBITS: 8 } as const;
export const SectionFlag = { WRITE: 1, ALLOC: 2, EXECUTABLE: 4 } as const;

const FILE_HEADER = 64;
const SECTION_HEADER = 64;
/** A vmlinux has some dozen. */
const MOST_SECTIONS = 4096;

/** The sections of an ELF file of 64 bits; none where the headers were stripped. @throws {KernelImageError} when headers are damaged */
export function elfSections(file: FileByPosition): ElfSection[] {
  if (file.size < FILE_HEADER) return [];
  const header = viewOf(file.read(0, FILE_HEADER));
  const headersAt = Number(header.getBigUint64(40, true));
  const count = header.getUint16(60, true);
  if (headersAt === 0 || count === 0) return [];
  if (count > MOST_SECTIONS || headersAt + count * SECTION_HEADER > file.size) {
    throw new KernelImageError(`its ${count} section headers are not in the file`, { offset: 40 });
  }
  const headers = viewOf(file.read(headersAt, count * SECTION_HEADER));
  const plain = Array.from({ length: count }, (_, index) => {
    const at = index * SECTION_HEADER;
    return {
      index,
      nameAt: headers.getUint32(at, true),
      type: headers.getUint32(at + 4, true),
      flags: Number(BigInt.asUintN(32, headers.getBigUint64(at + 8, true))),
      address: headers.getBigUint64(at + 16, true),
      offset: Number(headers.getBigUint64(at + 24, true)),
      size: Number(headers.getBigUint64(at + 32, true)),
      link: headers.getUint32(at + 40, true),
      info: headers.getUint32(at + 44, true),
    };
  });
  const names = plain[header.getUint16(62, true)];
  const strings = names === undefined ? new Uint8Array() : sectionBytes(file, names, MOST_NAME_BYTES);
  return plain.map(({ nameAt, ...section }) => ({ ...section, name: stringAt(strings, nameAt) }));
}

const MOST_NAME_BYTES = 2 ** 20;

/** The bytes of a section. @throws {KernelImageError} when they are not in the file, or more than `most` */
export function sectionBytes(
  file: FileByPosition,
  { offset, size }: Pick<ElfSection, 'offset' | 'size'>,
  most: number,
): Uint8Array {
  if (size > most || offset + size > file.size) {
    throw new KernelImageError(`a section of ${size} bytes: expected at most ${most}, within the file`, {
      offset,
    });
  }
  return file.read(offset, size);
}

/** The text at `start`, up to its terminating zero. */
export function stringAt(strings: Uint8Array, start: number): string {
  const end = strings.indexOf(0, start);
  return end < 0 ? '' : String.fromCharCode(...strings.subarray(start, Math.min(end, start + LONGEST_NAME)));
}

/** Longer than any name of Linux (KSYM_NAME_LEN is 512). */
const LONGEST_NAME = 1024;

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
