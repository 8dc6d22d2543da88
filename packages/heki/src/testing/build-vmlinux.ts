/** Where kernels are linked: __START_KERNEL. */
export const LINKED = 0xffff_ffff_8100_0000n;

/** A vmlinux whose one segment is `text`, a page that runs at {@link LINKED}, with `behind` after it, and notes with this build id. */
export function vmlinuxOfText(
  text: Uint8Array,
  behind: Uint8Array = new Uint8Array(),
  buildId: Uint8Array = new Uint8Array(),
): Buffer {
  const notes = Buffer.alloc(buildId.length === 0 ? 0 : 16 + buildId.length);
  if (notes.length > 0) {
    notes.set([4, 0, 0, 0, buildId.length, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0]);
    notes.set(buildId, 16);
  }
  const headers = Buffer.alloc(176);
  const start = headers.length + notes.length;
  headers.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  headers.writeUInt16LE(62, 18);
  headers.writeBigUInt64LE(64n, 32);
  headers.writeUInt16LE(2, 56);
  headers.writeUInt32LE(1, 64);
  headers.writeUInt32LE(5, 68);
  headers.writeBigUInt64LE(BigInt(start), 72);
  headers.writeBigUInt64LE(LINKED, 80);
  headers.writeBigUInt64LE(0x100_0000n, 88);
  headers.writeBigUInt64LE(BigInt(text.length), 96);
  headers.writeUInt32LE(4, 120);
  headers.writeBigUInt64LE(BigInt(headers.length), 128);
  headers.writeBigUInt64LE(BigInt(notes.length), 152);
  return Buffer.concat([headers, notes, text, behind]);
}

/** The same with what the linker leaves behind: a symbol table of `symbols`, and the places of 64-bit addresses, all of the first symbol. */
export function withTables(
  vmlinux: Buffer,
  symbols: readonly (readonly [name: string, value: bigint])[],
  places: readonly bigint[],
): Buffer {
  const names = Buffer.from(`\0${symbols.map(([name]) => `${name}\0`).join('')}`);
  const table = Buffer.alloc(24 * symbols.length);
  let nameAt = 1;
  for (const [index, [name, value]] of symbols.entries()) {
    table.writeUInt32LE(nameAt, 24 * index);
    table.writeUInt8(0x12, 24 * index + 4);
    table.writeUInt16LE(1, 24 * index + 6);
    table.writeBigUInt64LE(value, 24 * index + 8);
    nameAt += name.length + 1;
  }
  const rela = Buffer.alloc(24 * places.length);
  for (const [index, place] of places.entries()) {
    rela.writeBigUInt64LE(place, 24 * index);
    rela.writeUInt32LE(1, 24 * index + 8);
  }
  const sections = [
    { type: 0, flags: 0, bytes: Buffer.alloc(0), link: 0, info: 0 },
    { type: 1, flags: 6, bytes: Buffer.alloc(0), link: 0, info: 0 },
    { type: 2, flags: 0, bytes: table, link: 3, info: 0 },
    { type: 3, flags: 0, bytes: names, link: 0, info: 0 },
    { type: 4, flags: 0, bytes: rela, link: 2, info: 1 },
  ];
  const contents = Buffer.concat([vmlinux, ...sections.map(({ bytes }) => bytes)]);
  const headers = Buffer.alloc(64 * sections.length);
  let offset = vmlinux.length;
  for (const [index, { type, flags, bytes, link, info }] of sections.entries()) {
    const at = 64 * index;
    headers.writeUInt32LE(type, at + 4);
    headers.writeBigUInt64LE(BigInt(flags), at + 8);
    headers.writeBigUInt64LE(BigInt(offset), at + 24);
    headers.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    headers.writeUInt32LE(link, at + 40);
    headers.writeUInt32LE(info, at + 44);
    offset += bytes.length;
  }
  contents.writeBigUInt64LE(BigInt(contents.length), 40);
  contents.writeUInt16LE(sections.length, 60);
  return Buffer.concat([contents, headers]);
}
