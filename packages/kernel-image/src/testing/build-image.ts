/** A segment of a vmlinux to build; `at` is its offset from where kernels are linked. */
export interface PlainSegment {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly flags: 5 | 6 | 7;
}

/** Where an image lies before KASLR, as a 32-bit number. */
const KERNEL_MAP = 0x8000_0000;

/** A vmlinux with a table of relocations behind it, as `arch/x86/boot/compressed` packs it. Places are offsets as `at` is. */
export function buildVmlinux(
  segments: readonly PlainSegment[],
  relocations?: {
    readonly words: readonly number[];
    readonly inverse?: readonly number[];
    readonly halves: readonly number[];
  },
): Uint8Array {
  const head = 64 + 56 * segments.length;
  const size = segments.reduce((sum, { bytes }) => sum + bytes.length, head);
  const { words = [], inverse, halves = [] } = relocations ?? {};
  const lists = inverse === undefined ? [words, halves] : [words, inverse, halves];
  const table =
    relocations === undefined ? [] : lists.flatMap((list) => [0, ...list.map((place) => place + KERNEL_MAP)]);
  const bytes = new Uint8Array(size + 4 * table.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(56, segments.length, true);
  let offset = head;
  for (const [index, segment] of segments.entries()) {
    const at = 64 + 56 * index;
    view.setUint32(at, 1, true);
    view.setUint32(at + 4, segment.flags, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, 0xffff_ffff_8000_0000n + BigInt(segment.at), true);
    view.setBigUint64(at + 24, BigInt(segment.at), true);
    view.setBigUint64(at + 32, BigInt(segment.bytes.length), true);
    bytes.set(segment.bytes, offset);
    offset += segment.bytes.length;
  }
  for (const [index, word] of table.entries()) view.setUint32(size + 4 * index, word, true);
  return bytes;
}

/** A bzImage around a payload, which begins with the magic of its compression. */
export function buildBzImage(payload: Uint8Array, unpackedBytes: number): Uint8Array {
  const start = 2 * 512 + 100;
  const bytes = new Uint8Array(start + payload.length + 4 + 16);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 1;
  bytes.set([0x48, 0x64, 0x72, 0x53], 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, 100, true);
  view.setUint32(0x24c, payload.length + 4, true);
  bytes.set(payload, start);
  view.setUint32(start + payload.length, unpackedBytes, true);
  return bytes;
}

/** A Debian package with one file, not packed. */
export function buildPackage(path: string, file: Uint8Array): Uint8Array {
  const letters = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const tar = new Uint8Array(512 + Math.ceil(file.length / 512) * 512 + 1024);
  tar.set(letters(path));
  tar.set(letters(file.length.toString(8).padStart(11, '0')), 124);
  tar[156] = 0x30;
  tar.set(file, 512);
  const member = (name: string, bytes: Uint8Array) => {
    const padded = new Uint8Array(60 + bytes.length + (bytes.length % 2));
    padded.set(letters(`${name.padEnd(16)}${'0'.padEnd(32)}${String(bytes.length).padEnd(10)}\`\n`));
    padded.set(bytes, 60);
    return [...padded];
  };
  return Uint8Array.from([
    ...letters('!<arch>\n'),
    ...member('debian-binary', letters('2.0')),
    ...member('data.tar', tar),
  ]);
}
