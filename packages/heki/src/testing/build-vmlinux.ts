/** Where kernels are linked: __START_KERNEL. */
export const LINKED = 0xffff_ffff_8100_0000n;

/** A vmlinux whose one segment is `text`, a page that runs at {@link LINKED}, with `behind` after it. */
export function vmlinuxOfText(text: Uint8Array, behind: Uint8Array = new Uint8Array()): Buffer {
  const headers = Buffer.alloc(120);
  headers.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  headers.writeUInt16LE(62, 18);
  headers.writeBigUInt64LE(64n, 32);
  headers.writeUInt16LE(1, 56);
  headers.writeUInt32LE(1, 64);
  headers.writeUInt32LE(5, 68);
  headers.writeBigUInt64LE(120n, 72);
  headers.writeBigUInt64LE(LINKED, 80);
  headers.writeBigUInt64LE(0x100_0000n, 88);
  headers.writeBigUInt64LE(BigInt(text.length), 96);
  return Buffer.concat([headers, text, behind]);
}
