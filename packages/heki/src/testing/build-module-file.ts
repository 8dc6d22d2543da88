/** A module's file, `.ko`: a relocatable ELF with these sections, which no relocation changes. */
export function moduleFile(
  sections: readonly { readonly name: string; readonly flags: number; readonly bytes: Uint8Array }[],
): Buffer {
  const names = ['', ...sections.map(({ name }) => name), '.symtab', '.strtab'];
  const table = Buffer.from(`${names.join('\0')}\0`);
  const contents = [...sections.map(({ bytes }) => bytes), Buffer.alloc(24), table];
  const headers = Buffer.alloc(64 * names.length);
  let offset = 64;
  for (const [index, bytes] of contents.entries()) {
    const at = 64 * (index + 1);
    headers.writeUInt32LE(table.indexOf(`\0${names[index + 1]}\0`) + 1, at);
    headers.writeUInt32LE([2, 3][index - sections.length] ?? 1, at + 4);
    headers.writeBigUInt64LE(BigInt(sections[index]?.flags ?? 0), at + 8);
    headers.writeBigUInt64LE(BigInt(offset), at + 24);
    headers.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    // The names of symbols are among those of sections.
    headers.writeUInt32LE(names.length - 1, at + 40);
    headers.writeBigUInt64LE(1n, at + 48);
    headers.writeBigUInt64LE(24n, at + 56);
    offset += bytes.length;
  }
  const start = Buffer.alloc(64);
  start.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  start.writeUInt16LE(1, 16);
  start.writeUInt16LE(62, 18);
  start.writeBigUInt64LE(BigInt(offset), 40);
  start.writeUInt16LE(64, 58);
  start.writeUInt16LE(names.length, 60);
  start.writeUInt16LE(names.length - 1, 62);
  return Buffer.concat([start, ...contents, headers]);
}
