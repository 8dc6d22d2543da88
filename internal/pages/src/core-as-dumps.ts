import { closeSync, openSync, writeSync } from 'node:fs';

/** What the memory of an ELF core is as LiME writes it: each range behind a header. */
export function limeOf(core: Buffer): Buffer {
  const ranges = segmentsOf(core).map(({ offset, start, length }) => {
    const header = Buffer.alloc(32);
    header.writeUInt32LE(0x4c694d45, 0);
    header.writeUInt32LE(1, 4);
    header.writeBigUInt64LE(BigInt(start), 8);
    header.writeBigUInt64LE(BigInt(start + length - 1), 16);
    return [header, core.subarray(offset, offset + length)];
  });
  return Buffer.concat(ranges.flat());
}

/** The memory of an ELF core as an image of it from address 0 on, with holes where the core has nothing. */
export function writeRaw(path: string, core: Buffer): void {
  const file = openSync(path, 'w');
  for (const { offset, start, length } of segmentsOf(core)) writeSync(file, core, offset, length, start);
  closeSync(file);
}

/** What of memory an ELF core has, and where it stands in it. */
export function segmentsOf(core: Buffer) {
  const [first, size, count] = [
    Number(core.readBigUInt64LE(32)),
    core.readUInt16LE(54),
    core.readUInt16LE(56),
  ];
  const field = (at: number): number => Number(core.readBigUInt64LE(at));
  return Array.from({ length: count }, (_, index) => first + size * index)
    .filter((at) => core.readUInt32LE(at) === 1)
    .map((at) => ({ offset: field(at + 8), start: field(at + 24), length: field(at + 32) }))
    .filter(({ length }) => length > 0);
}

/** Where the byte at a physical address stands in an ELF core. */
export function fileOffset(core: Buffer, address: number): number {
  const found = segmentsOf(core).find(({ start, length }) => address >= start && address < start + length);
  if (found === undefined) throw new Error(`the dump has nothing at ${address}`);
  return found.offset + address - found.start;
}
