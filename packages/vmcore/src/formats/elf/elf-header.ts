import { type ByteSource, readFields } from '../../byte-source.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';

/** Bytes of an ELF-64 header, a program header and a section header (System V gABI, chapters 4 and 5). */
const HEADER_SIZE = 64;
/** What dump-guest-memory of QEMU 7.2 says instead: the size of a pointer to the header. */
const QEMU_HEADER_SIZE = 8;
const PROGRAM_HEADER_SIZE = 56;
const SECTION_HEADER_SIZE = 64;

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ELFDATA2MSB = 2;
const ET_CORE = 4;
const EM_X86_64 = 62;
/** What else e_type may be, and what people then have in hand. */
const TYPES: ReadonlyMap<number, string> = new Map([
  [1, 'an object file or a kernel module, and no memory'],
  [2, 'a program or a kernel image (vmlinux), and no memory'],
  [3, 'a shared library or a program, and no memory'],
]);
/** Machines that Linux and QEMU write cores of (System V gABI, registry of e_machine). */
const MACHINES: ReadonlyMap<number, string> = new Map([
  [2, 'a SPARC machine'],
  [3, 'a 32-bit x86 machine, whose page tables are others'],
  [8, 'a MIPS machine'],
  [20, 'a 32-bit PowerPC machine'],
  [21, 'a PowerPC machine'],
  [22, 'an IBM Z machine'],
  [40, 'a 32-bit Arm machine'],
  [183, 'an AArch64 machine, whose page tables are others'],
  [243, 'a RISC-V machine'],
  [258, 'a LoongArch machine'],
]);
/** In e_phnum: the number does not fit and stands in sh_info of section header 0. */
const PN_XNUM = 0xffff;
/** File offsets beyond are not exact as numbers. */
const MOST_FILE = BigInt(Number.MAX_SAFE_INTEGER);

export const PT_LOAD = 1;
export const PT_NOTE = 4;

/** A program header. That of notes lies within the file; the memory of a PT_LOAD may end behind it, where a dump was cut short. */
export interface ProgramHeader {
  readonly type: number;
  /** Where the header itself is. */
  readonly at: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly memorySize: bigint;
}

/** The program headers of an ELF-64 core of an x86-64 machine. @throws {VmcoreError} when it is not one, or is damaged */
export function readProgramHeaders(source: ByteSource): ProgramHeader[] {
  const header = readHeader(source);
  const { tableOffset, count } = readTable(source, header);
  const table = readFields(source, tableOffset, count * PROGRAM_HEADER_SIZE);
  const headers: ProgramHeader[] = [];
  for (let index = 0; index < count; index++) {
    const base = index * PROGRAM_HEADER_SIZE;
    const at = tableOffset + base;
    const type = table.getUint32(base, true);
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    const fileOffset = table.getBigUint64(base + 8, true);
    const fileSize = table.getBigUint64(base + 32, true);
    const memorySize = table.getBigUint64(base + 40, true);
    const alignment = table.getBigUint64(base + 48, true);
    const what = `program header ${index} (${type === PT_LOAD ? 'PT_LOAD' : 'PT_NOTE'})`;
    if (type === PT_NOTE ? fileOffset + fileSize > BigInt(source.size) : fileOffset + fileSize > MOST_FILE) {
      throw new VmcoreError(
        `${what} has 0x${fileSize.toString(16)} bytes at 0x${fileOffset.toString(16)}, but the file ends at 0x${source.size.toString(16)}`,
        { offset: at + 8 },
      );
    }
    if (type === PT_LOAD && memorySize < fileSize) {
      throw new VmcoreError(
        `${what} has p_memsz 0x${memorySize.toString(16)} below p_filesz 0x${fileSize.toString(16)}`,
        { offset: at + 40 },
      );
    }
    if ((alignment & (alignment - 1n)) !== 0n && alignment !== 0n) {
      throw new VmcoreError(`${what} has p_align 0x${alignment.toString(16)}: expected 0 or a power of two`, {
        offset: at + 48,
      });
    }
    headers.push({
      type,
      at,
      fileOffset: Number(fileOffset),
      fileSize: Number(fileSize),
      virtualAddress: table.getBigUint64(base + 16, true),
      physicalAddress: table.getBigUint64(base + 24, true),
      memorySize,
    });
  }
  return headers;
}

function readHeader(source: ByteSource): DataView {
  const header = readFields(source, 0, HEADER_SIZE);
  const expect = (offset: number, what: string, found: number, expected: number, meaning: string): void => {
    if (found === expected) return;
    throw new VmcoreError(`${what} is ${found}: expected ${expected}, ${meaning}`, { offset });
  };
  const machine = header.getUint16(18, header.getUint8(5) !== ELFDATA2MSB);
  const isOf = MACHINES.get(machine);
  const named = isOf === undefined ? '' : `: this is of ${isOf}`;
  const wide = machine === EM_X86_64 ? ": write this machine's core with 64-bit headers" : named;
  expect(4, 'EI_CLASS', header.getUint8(4), ELFCLASS64, `64-bit${wide}`);
  expect(5, 'EI_DATA', header.getUint8(5), ELFDATA2LSB, `little-endian${named}`);
  expect(18, 'e_machine', machine, EM_X86_64, `x86-64${named}`);
  const type = header.getUint16(16, true);
  const isA = TYPES.get(type);
  expect(16, 'e_type', type, ET_CORE, `a core file${isA === undefined ? '' : `: this is ${isA}`}`);
  const size = header.getUint16(52, true);
  if (size !== QEMU_HEADER_SIZE) expect(52, 'e_ehsize', size, HEADER_SIZE, 'the size of an ELF-64 header');
  expect(54, 'e_phentsize', header.getUint16(54, true), PROGRAM_HEADER_SIZE, 'the size of a program header');
  return header;
}

function readTable(source: ByteSource, header: DataView): { tableOffset: number; count: number } {
  const tableOffset = header.getBigUint64(32, true);
  let count = header.getUint16(56, true);
  if (count === PN_XNUM) count = readExtendedCount(source, header);
  if (count === 0)
    throw new VmcoreError(
      'e_phnum is 0: a core without program headers holds nothing (`xl dump-core` of Xen writes sections, which are not read)',
      { offset: 56 },
    );
  if (count > DUMP_LIMITS.programHeaders) {
    throw new VmcoreError(`${count} program headers: expected at most ${DUMP_LIMITS.programHeaders}`, {
      offset: 56,
    });
  }
  if (
    tableOffset < BigInt(HEADER_SIZE) ||
    tableOffset + BigInt(count * PROGRAM_HEADER_SIZE) > BigInt(source.size)
  ) {
    throw new VmcoreError(
      `e_phoff is 0x${tableOffset.toString(16)}: expected ${count} program headers of ${PROGRAM_HEADER_SIZE} bytes between 0x${HEADER_SIZE.toString(16)} and the file's end, 0x${source.size.toString(16)}`,
      { offset: 32 },
    );
  }
  return { tableOffset: Number(tableOffset), count };
}

function readExtendedCount(source: ByteSource, header: DataView): number {
  const sections = header.getBigUint64(40, true);
  if (
    header.getUint16(58, true) !== SECTION_HEADER_SIZE ||
    sections < BigInt(HEADER_SIZE) ||
    sections + BigInt(SECTION_HEADER_SIZE) > BigInt(source.size)
  ) {
    throw new VmcoreError(
      `e_phnum is 0xffff, so section header 0 should hold the number; e_shoff is 0x${sections.toString(16)} and e_shentsize ${header.getUint16(58, true)}: expected ${SECTION_HEADER_SIZE} bytes within the file`,
      { offset: 40 },
    );
  }
  return readFields(source, Number(sections), SECTION_HEADER_SIZE).getUint32(44, true);
}
