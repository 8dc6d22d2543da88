import { elfSections, type FileByPosition, SectionFlag, SectionType, viewOf } from './elf-sections.ts';
import {
  SHN_ABS,
  type SymbolSection,
  symbolName,
  symbolSection,
  symbolSectionIndex,
  symbolValue,
} from './elf-symbols.ts';
import { KernelImageError } from './error.ts';
import type { Relocations } from './relocations.ts';

/** Bytes of an entry: place, type and symbol, addend. */
const ENTRY = 24;
/** What is read at a time: entries of a kernel take some ten MB. */
const CHUNK = ENTRY * 2 ** 15;
const MOST_BYTES = 2 ** 30;

/** Types of the psABI, chapter 4, Relocation Types. */
const R_X86_64_64 = 1;
const R_X86_64_PC32 = 2;
const R_X86_64_PLT32 = 4;
const R_X86_64_32 = 10;
const R_X86_64_32S = 11;

/** What an address or a distance refers to. */
const PLAIN = 0;
/** A variable of the CPUs, which was linked at 0 and does not move with the image. */
const PER_CPU = 1;
/** A number that is no address. */
const NUMBER = 2;

const KERNEL_MAP = 0xffff_ffff_8000_0000n;

/**
 * What must change in a vmlinux that is moved, by the entries that the linker left in it (`--emit-relocs`, as Linux is built for KASLR): what
 * arch/x86/tools/relocs makes of them. Addresses of the image change; distances within it do not; until Linux 6.14 those to
 * CPUs' own variables, which were linked at 0, change the other way.
 *
 * @returns `undefined` where the linker left none, or the symbols that they name were stripped
 * @throws {KernelImageError} when the file is damaged
 */
export function readVmlinuxRelocations(file: FileByPosition): Relocations | undefined {
  const sections = elfSections(file);
  const entries = sections.filter(
    ({ type, info }) => type === SectionType.RELA && ((sections[info]?.flags ?? 0) & SectionFlag.ALLOC) !== 0,
  );
  const symbols = symbolSection(file, sections);
  if (entries.length === 0 || symbols === undefined) return undefined;
  const perCpu = sections.find(({ name, address }) => name === '.data..percpu' && address === 0n);
  const { kinds, perCpuLoad } = kindsOf(symbols, perCpu?.index);
  const words: number[] = [];
  const halves: number[] = [];
  const inverse: number[] = [];
  for (const { offset, size, info } of entries) {
    // Notes are read before the kernel runs, as it was linked.
    if (sections[info]?.type === SectionType.NOTE) continue;
    const base = info === perCpu?.index ? perCpuLoad : 0n;
    forEachEntry(file, offset, size, (place, type, symbol) => {
      const kind = kinds[symbol] ?? NUMBER;
      const at = Number(BigInt.asIntN(64, place + base));
      if (type === R_X86_64_64 && kind === PLAIN) words.push(at);
      else if ((type === R_X86_64_32 || type === R_X86_64_32S) && kind === PLAIN) halves.push(at);
      else if ((type === R_X86_64_PC32 || type === R_X86_64_PLT32) && kind === PER_CPU) inverse.push(at);
    });
  }
  return {
    words: Int32Array.from(words),
    halves: Int32Array.from(halves),
    inverse: Int32Array.from(inverse),
  };
}

function forEachEntry(
  file: FileByPosition,
  offset: number,
  size: number,
  visit: (place: bigint, type: number, symbol: number) => void,
): void {
  if (size > MOST_BYTES || offset + size > file.size) {
    throw new KernelImageError(
      `${size} bytes of relocations: expected at most ${MOST_BYTES}, within the file`,
      {
        offset,
      },
    );
  }
  for (let at = 0; at + ENTRY <= size; at += CHUNK) {
    const chunk = viewOf(file.read(offset + at, Math.min(CHUNK, size - at)));
    for (let entry = 0; entry + ENTRY <= chunk.byteLength; entry += ENTRY) {
      visit(
        chunk.getBigUint64(entry, true),
        chunk.getUint32(entry + 8, true),
        chunk.getUint32(entry + 12, true),
      );
    }
  }
}

/** What each symbol is, and where the template of the CPUs' variables lies. */
function kindsOf(
  symbols: SymbolSection,
  perCpu: number | undefined,
): { readonly kinds: Uint8Array; readonly perCpuLoad: bigint } {
  const kinds = new Uint8Array(symbols.count);
  let perCpuLoad = 0n;
  for (let index = 0; index < symbols.count; index++) {
    const section = symbolSectionIndex(symbols, index);
    if (section === SHN_ABS) {
      // The linker script has addresses of the image, too, that belong to no section.
      kinds[index] = symbolValue(symbols, index) >= KERNEL_MAP ? PLAIN : NUMBER;
      if (symbolName(symbols, index) === '__per_cpu_load') perCpuLoad = symbolValue(symbols, index);
    } else if (section === perCpu) {
      const name = symbolName(symbols, index);
      if (name === '__per_cpu_load') perCpuLoad = symbolValue(symbols, index);
      // These stand in that section, and are addresses of the image.
      const isOfImage =
        name === '__init_begin' || name === '__per_cpu_load' || name.startsWith('init_per_cpu_');
      kinds[index] = isOfImage ? PLAIN : PER_CPU;
    }
  }
  return { kinds, perCpuLoad };
}
