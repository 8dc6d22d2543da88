import type { FileByPosition } from '../elf-sections.ts';

/** A section to build. Its bytes, or for one without any in the file its `size`. */
export interface PlainSection {
  readonly name: string;
  readonly type: number;
  readonly flags?: number;
  readonly address?: bigint;
  readonly bytes?: Uint8Array;
  readonly link?: number;
  readonly info?: number;
}

/** A symbol to build: `section` by its number, 0xfff1 for an absolute one. */
export interface PlainSymbol {
  readonly name: string;
  readonly value: bigint;
  readonly section: number;
  /** Binding and type: 0x12 a global function. */
  readonly info?: number;
}

export interface PlainRelocation {
  readonly place: bigint;
  readonly type: number;
  readonly symbol: number;
}

/** The bytes of .symtab and .strtab. */
export function symbolTable(symbols: readonly PlainSymbol[]): {
  readonly entries: Uint8Array;
  readonly strings: Uint8Array;
} {
  let text = '\0';
  const view = new DataView(new ArrayBuffer(24 * symbols.length));
  for (const [index, { name, value, section, info = 0x12 }] of symbols.entries()) {
    view.setUint32(24 * index, text.length, true);
    view.setUint8(24 * index + 4, info);
    view.setUint16(24 * index + 6, section, true);
    view.setBigUint64(24 * index + 8, value, true);
    text += `${name}\0`;
  }
  return { entries: new Uint8Array(view.buffer), strings: new TextEncoder().encode(text) };
}

/** The bytes of a .rela section. */
export function relaEntries(relocations: readonly PlainRelocation[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(24 * relocations.length));
  for (const [index, { place, type, symbol }] of relocations.entries()) {
    view.setBigUint64(24 * index, place, true);
    view.setUint32(24 * index + 8, type, true);
    view.setUint32(24 * index + 12, symbol, true);
  }
  return new Uint8Array(view.buffer);
}

/** `front`, an ELF file without sections, with these behind it: the first is number 1, and the last holds the names. */
export function withSections(front: Uint8Array, sections: readonly PlainSection[]): Uint8Array {
  const names = sections.reduce((text, { name }) => `${text}${name}\0`, '\0');
  const all: PlainSection[] = [
    { name: '', type: 0 },
    ...sections,
    { name: '', type: 3, bytes: new TextEncoder().encode(names) },
  ];
  const size = all.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), front.length);
  const file = new Uint8Array(size + 64 * all.length);
  file.set(front);
  const view = new DataView(file.buffer);
  view.setBigUint64(40, BigInt(size), true);
  view.setUint16(60, all.length, true);
  view.setUint16(62, all.length - 1, true);
  let offset = front.length;
  let nameAt = 1;
  for (const [index, { name, type, flags = 0, address = 0n, bytes, link = 0, info = 0 }] of all.entries()) {
    const at = size + 64 * index;
    view.setUint32(at, name === '' ? 0 : nameAt, true);
    view.setUint32(at + 4, type, true);
    view.setBigUint64(at + 8, BigInt(flags), true);
    view.setBigUint64(at + 16, address, true);
    view.setBigUint64(at + 24, BigInt(offset), true);
    view.setBigUint64(at + 32, BigInt(bytes?.length ?? 0), true);
    view.setUint32(at + 40, link, true);
    view.setUint32(at + 44, info, true);
    if (bytes !== undefined) file.set(bytes, offset);
    offset += bytes?.length ?? 0;
    if (name !== '') nameAt += name.length + 1;
  }
  return file;
}

export function fileOf(bytes: Uint8Array): FileByPosition {
  return { size: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) };
}
