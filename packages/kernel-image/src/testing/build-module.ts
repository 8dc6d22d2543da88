/** What a module's file to build has; sections are numbered from 1, symbols too. */
export interface ModuleParts {
  readonly sections: readonly { readonly name: string; readonly flags: number; readonly bytes: Uint8Array }[];
  readonly symbols: readonly {
    readonly name: string;
    readonly section: number;
    readonly value: bigint;
    readonly isGlobal: boolean;
  }[];
  readonly relocations: readonly {
    readonly section: number;
    readonly offset: number;
    readonly type: number;
    readonly symbol: number;
    readonly addend: bigint;
  }[];
}

/** A relocatable ELF file: headers of sections stand at its end. */
export function buildModule({ sections, symbols, relocations }: ModuleParts): Uint8Array {
  let names = '\0';
  const nameAt = (name: string): number => {
    const at = names.length;
    names += `${name}\0`;
    return at;
  };
  const table = new DataView(new ArrayBuffer(24 * (symbols.length + 1)));
  for (const [index, { name, section, value, isGlobal }] of symbols.entries()) {
    const at = 24 * (index + 1);
    table.setUint32(at, nameAt(name), true);
    table.setUint8(at + 4, isGlobal ? 0x10 : 0);
    table.setUint16(at + 6, section, true);
    table.setBigUint64(at + 8, value, true);
  }
  const ofSection = (section: number): Uint8Array => {
    const own = relocations.filter((one) => one.section === section);
    const view = new DataView(new ArrayBuffer(24 * own.length));
    for (const [index, { offset, type, symbol, addend }] of own.entries()) {
      view.setBigUint64(24 * index, BigInt(offset), true);
      view.setUint32(24 * index + 8, type, true);
      view.setUint32(24 * index + 12, symbol, true);
      view.setBigInt64(24 * index + 16, addend, true);
    }
    return new Uint8Array(view.buffer);
  };
  const strings = sections.length * 2 + 2;
  const all = [
    { name: 0, type: 0, flags: 0, info: 0, link: 0, bytes: new Uint8Array() },
    ...sections.map(({ name, flags, bytes }) => ({
      name: nameAt(name),
      ...{ type: 1, flags, info: 0, link: 0, bytes },
    })),
    ...sections.map(({ name }, index) => ({
      name: nameAt(`.rela${name}`),
      ...{ type: 4, flags: 0, info: index + 1, link: strings - 1, bytes: ofSection(index + 1) },
    })),
    {
      name: nameAt('.symtab'),
      ...{ type: 2, flags: 0, info: 0, link: strings, bytes: new Uint8Array(table.buffer) },
    },
  ];
  const last = nameAt('.strtab');
  const parts = [
    ...all,
    { name: last, type: 3, flags: 0, info: 0, link: 0, bytes: new TextEncoder().encode(names) },
  ];
  const contents = parts.reduce((sum, { bytes }) => sum + bytes.length, 64);
  const file = new Uint8Array(contents + 64 * parts.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(40, BigInt(contents), true);
  view.setUint16(60, parts.length, true);
  view.setUint16(62, parts.length - 1, true);
  let offset = 64;
  for (const [index, { name, type, flags, link, info, bytes }] of parts.entries()) {
    const at = contents + 64 * index;
    view.setUint32(at, name, true);
    view.setUint32(at + 4, type, true);
    view.setBigUint64(at + 8, BigInt(flags), true);
    view.setBigUint64(at + 24, BigInt(offset), true);
    view.setBigUint64(at + 32, BigInt(bytes.length), true);
    view.setUint32(at + 40, link, true);
    view.setUint32(at + 44, info, true);
    file.set(bytes, offset);
    offset += bytes.length;
  }
  return file;
}
