import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { KernelImageError } from './error.ts';
import type { ImageSection, ImageSegment } from './vmlinux.ts';

/** A section of a module's file. */
interface ObjectSection {
  readonly name: string;
  /** As the file has them, not relocated; zeros where it has none. */
  readonly bytes: Uint8Array;
  /** It is loaded at all. */
  readonly isLoaded: boolean;
  readonly isWritable: boolean;
  readonly isExecutable: boolean;
}

/** A symbol: in a section, or, without one, of another module or of the kernel. */
interface ObjectSymbol {
  readonly name: string;
  readonly section: number;
  readonly value: bigint;
  readonly isGlobal: boolean;
}

interface ObjectRelocation {
  /** Of the section whose bytes change. */
  readonly section: number;
  readonly offset: number;
  readonly type: number;
  readonly symbol: number;
  readonly addend: bigint;
}

/** A module's file, NAME.ko. */
export interface ModuleObject {
  readonly sections: readonly ObjectSection[];
  readonly symbols: readonly ObjectSymbol[];
  readonly relocations: readonly ObjectRelocation[];
}

const ET_REL = 1;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const RELOCATION = 24;
const SHT = { SYMTAB: 2, RELA: 4, NOBITS: 8 } as const;
const SHF = { WRITE: 1, ALLOC: 2, EXECINSTR: 4 } as const;
const SHN_LORESERVE = 0xff00;
const MOST_SECTIONS = 4096;
/** Bytes that a file without them claims: a .bss. */
const LARGEST_SECTION = 2 ** 28;

/** Parses a module's file. @throws {KernelImageError} when it is none, or damaged */
export function parseModule(file: Uint8Array): ModuleObject {
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 64 || view.getUint32(0, false) !== 0x7f45_4c46 || view.getUint16(16, true) !== ET_REL) {
    throw new KernelImageError('not a module: expected a relocatable ELF file of 64 bits');
  }
  const headers = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  if (count > MOST_SECTIONS || headers + count * SECTION_HEADER > bytes.length) {
    throw new KernelImageError(`its ${count} section headers are not in the file`, { offset: 40 });
  }
  const header = (index: number) => {
    const at = headers + index * SECTION_HEADER;
    const type = view.getUint32(at + 4, true);
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    const end = type === SHT.NOBITS ? 0 : offset + size;
    if (end > bytes.length || size > LARGEST_SECTION)
      throw new KernelImageError(`its section ${index} does not end in the file`, { offset: at });
    return {
      ...{ type, offset, size },
      name: view.getUint32(at, true),
      flags: Number(view.getBigUint64(at + 8, true) & 7n),
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
    };
  };
  const all = Array.from({ length: count }, (_, index) => header(index));
  const names = all[view.getUint16(62, true)];
  const sections = all.map(
    ({ name, type, offset, size, flags }): ObjectSection => ({
      name: textAt(bytes, (names?.offset ?? bytes.length) + name),
      bytes: type === SHT.NOBITS ? new Uint8Array(size) : bytes.subarray(offset, offset + size),
      isLoaded: (flags & SHF.ALLOC) !== 0,
      isWritable: (flags & SHF.WRITE) !== 0,
      isExecutable: (flags & SHF.EXECINSTR) !== 0,
    }),
  );
  const table = all.find(({ type }) => type === SHT.SYMTAB);
  const strings = table && all[table.link];
  const symbols: ObjectSymbol[] = [];
  for (let at = 0; table !== undefined && at + SYMBOL <= table.size; at += SYMBOL) {
    const from = table.offset + at;
    symbols.push({
      name: textAt(bytes, (strings?.offset ?? bytes.length) + view.getUint32(from, true)),
      isGlobal: view.getUint8(from + 4) >> 4 !== 0,
      section: view.getUint16(from + 6, true),
      value: view.getBigUint64(from + 8, true),
    });
  }
  const relocations = all.flatMap(({ type, offset, size, info }) => {
    const found: ObjectRelocation[] = [];
    if (type !== SHT.RELA || sections[info]?.isLoaded !== true) return found;
    for (let at = offset; at + RELOCATION <= offset + size; at += RELOCATION) {
      found.push({
        section: info,
        offset: Number(view.getBigUint64(at, true)),
        type: view.getUint32(at + 8, true),
        symbol: view.getUint32(at + 12, true),
        addend: view.getBigInt64(at + 16, true),
      });
    }
    return found;
  });
  return { sections, symbols, relocations };
}

/** A module as it is laid out in memory, before the kernel patches it. */
export interface PlacedModule {
  readonly segments: readonly ImageSegment[];
  readonly sections: readonly (ImageSection & Pick<ObjectSection, 'isWritable' | 'isExecutable'>)[];
  readonly symbols: readonly {
    readonly name: string;
    readonly address: VirtualAddress;
    readonly isGlobal: boolean;
  }[];
  /** Fields whose value is not known, because their symbol is not. */
  readonly unresolved: readonly { readonly address: VirtualAddress; readonly size: number }[];
}

/** Bytes of a field by type of relocation, and whether its own address is subtracted: those that Linux applies (apply_relocate_add). */
const FIELDS: ReadonlyMap<number, { readonly size: 4 | 8; readonly isRelative: boolean }> = new Map([
  [1, { size: 8, isRelative: false }], // R_X86_64_64
  [2, { size: 4, isRelative: true }], // R_X86_64_PC32
  [4, { size: 4, isRelative: true }], // R_X86_64_PLT32
  [10, { size: 4, isRelative: false }], // R_X86_64_32
  [11, { size: 4, isRelative: false }], // R_X86_64_32S
  [24, { size: 8, isRelative: true }], // R_X86_64_PC64
]);

/**
 * Lays a module out and relocates it.
 *
 * @param addressOf where a section of this name was put; one that was put nowhere is left out
 * @param resolve the address of a symbol that the module does not have
 */
export function placeModule(
  { sections, symbols, relocations }: ModuleObject,
  addressOf: (section: string) => VirtualAddress | undefined,
  resolve: (symbol: string) => bigint | undefined,
): PlacedModule {
  const counts = new Map<string, number>();
  for (const { name, isLoaded } of sections) if (isLoaded) counts.set(name, (counts.get(name) ?? 0) + 1);
  const placed = sections.map(({ name, isLoaded, bytes, isWritable, isExecutable }) => {
    // Of two of one name it cannot be told which was put where.
    const address = isLoaded && bytes.length > 0 && counts.get(name) === 1 ? addressOf(name) : undefined;
    return address === undefined
      ? undefined
      : { name, address, bytes: bytes.slice(), isWritable, isExecutable };
  });
  const addressOfSymbol = ({ name, section, value }: ObjectSymbol): bigint | undefined => {
    if (section === 0) return resolve(name);
    if (section >= SHN_LORESERVE) return section === 0xfff1 ? value : undefined;
    const at = placed[section]?.address;
    return at === undefined ? undefined : at + value;
  };
  const unresolved: { address: VirtualAddress; size: number }[] = [];
  for (const { section, offset, type, symbol, addend } of relocations) {
    const target = placed[section];
    if (target === undefined || type === 0) continue;
    const { size, isRelative } = FIELDS.get(type) ?? { size: 4, isRelative: false };
    if (offset + size > target.bytes.length) continue;
    const at = virtualAddress(target.address + BigInt(offset));
    const of = symbols[symbol];
    const base = of === undefined || !FIELDS.has(type) ? undefined : addressOfSymbol(of);
    if (base === undefined) {
      unresolved.push({ address: at, size });
      continue;
    }
    const value = base + addend - (isRelative ? at : 0n);
    const view = new DataView(target.bytes.buffer);
    if (size === 8) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    else view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
  }
  const present = placed.filter((one) => one !== undefined);
  return {
    segments: present.map(({ address, bytes }) => ({ address, bytes, kind: 'text' })),
    sections: present.map(({ name, address, bytes, isWritable, isExecutable }) => ({
      ...{ name, address, isWritable, isExecutable },
      size: bytes.length,
    })),
    symbols: symbols.flatMap((symbol) => {
      const address = symbol.section === 0 || symbol.name === '' ? undefined : addressOfSymbol(symbol);
      if (address === undefined || address < 0n || address >= 1n << 64n) return [];
      return [{ name: symbol.name, address: virtualAddress(address), isGlobal: symbol.isGlobal }];
    }),
    unresolved,
  };
}

const LONGEST_NAME = 512;

function textAt(bytes: Uint8Array, start: number): string {
  const end = bytes.indexOf(0, start);
  return String.fromCharCode(...bytes.subarray(start, Math.min(end < 0 ? start : end, start + LONGEST_NAME)));
}
