import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import {
  type ElfSection,
  elfSections,
  type FileByPosition,
  SectionFlag,
  SectionType,
  sectionBytes,
  stringAt,
  viewOf,
} from './elf-sections.ts';

/** A symbol of a vmlinux, where it was linked. */
export interface ImageSymbol {
  readonly name: string;
  /** Of a variable of the CPUs its offset in their areas, until Linux 6.14. */
  readonly address: VirtualAddress;
  /** As nm(1) has it: `T` text, `D` data, `R` rodata, `B` bss, `A` absolute, small letters for what is local. */
  readonly type: string;
}

/** A symbol table, as the file has it. */
export interface SymbolSection {
  readonly entries: DataView;
  readonly strings: Uint8Array;
  readonly count: number;
}

/** Bytes of an entry, and where its fields are (System V gABI, chapter 4, Symbol Table). */
const ENTRY = 24;
const INFO_AT = 4;
const SECTION_AT = 6;
const VALUE_AT = 8;
const STT_SECTION = 3;
const STT_FILE = 4;
const STB_LOCAL = 0;
const STB_WEAK = 2;
const SHN_UNDEF = 0;
export const SHN_ABS = 0xfff1;
/** A kernel with everything has a million symbols. */
const MOST_BYTES = 2 ** 27;

/** The symbol table of a vmlinux; `undefined` where it was stripped. @throws {KernelImageError} when it is damaged */
export function symbolSection(
  file: FileByPosition,
  sections: readonly ElfSection[],
): SymbolSection | undefined {
  const table = sections.find(({ type }) => type === SectionType.SYMTAB);
  const names = table === undefined ? undefined : sections[table.link];
  if (table === undefined || names === undefined) return undefined;
  return {
    entries: viewOf(sectionBytes(file, table, MOST_BYTES)),
    strings: sectionBytes(file, names, MOST_BYTES),
    count: Math.floor(table.size / ENTRY),
  };
}

export const symbolSectionIndex = ({ entries }: SymbolSection, index: number): number =>
  entries.getUint16(index * ENTRY + SECTION_AT, true);

export const symbolValue = ({ entries }: SymbolSection, index: number): bigint =>
  entries.getBigUint64(index * ENTRY + VALUE_AT, true);

export const symbolName = ({ entries, strings }: SymbolSection, index: number): string =>
  stringAt(strings, entries.getUint32(index * ENTRY, true));

/**
 * The symbols of a vmlinux (its .symtab) in the order of the file: those with a name that is not a section's or a source's.
 *
 * @returns `undefined` where it was stripped
 * @throws {KernelImageError} when the file is damaged
 */
export function readVmlinuxSymbols(file: FileByPosition): ImageSymbol[] | undefined {
  const sections = elfSections(file);
  const table = symbolSection(file, sections);
  if (table === undefined) return undefined;
  const symbols: ImageSymbol[] = [];
  for (let index = 0; index < table.count; index++) {
    const info = table.entries.getUint8(index * ENTRY + INFO_AT);
    const section = symbolSectionIndex(table, index);
    const type = info % 16;
    if (section === SHN_UNDEF || type === STT_SECTION || type === STT_FILE) continue;
    const name = symbolName(table, index);
    if (name === '') continue;
    const address = virtualAddress(symbolValue(table, index));
    symbols.push({ name, address, type: letterOf(info >> 4, section, sections[section]) });
  }
  return symbols;
}

/** The letter of nm(1). */
function letterOf(binding: number, index: number, section: ElfSection | undefined): string {
  if (binding === STB_WEAK) return 'W';
  const letter = index === SHN_ABS || section === undefined ? 'A' : letterOfSection(section);
  return binding === STB_LOCAL ? letter.toLowerCase() : letter;
}

function letterOfSection({ type, flags }: ElfSection): string {
  if ((flags & SectionFlag.EXECUTABLE) !== 0) return 'T';
  if ((flags & SectionFlag.WRITE) === 0) return 'R';
  return type === SectionType.NOBITS ? 'B' : 'D';
}
