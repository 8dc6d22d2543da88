/** A page to put into a kdump: as it is, or packed. */
export interface KdumpPage {
  readonly frame: number;
  readonly bytes: Uint8Array;
  /** Of its descriptor. Default 0: not packed. */
  readonly flags?: number;
  /** It is the page of this frame, which comes before: both have one place in the file, as all pages of zeros do. */
  readonly like?: number;
}

/** How the kdump to build departs from a plain one. */
export interface KdumpParts {
  readonly pages?: readonly KdumpPage[];
  /** Frames in the whole dump. Default: up to the last page. */
  readonly frames?: number;
  /** Of the header. Default 6. */
  readonly version?: number;
  readonly status?: number;
  readonly machine?: string;
  /** Bytes of notes, as in an ELF file. */
  readonly notes?: Uint8Array;
  /** The text of VMCOREINFO beside the notes. */
  readonly vmcoreinfo?: string;
  /** The frames of this file, of a dump that is split. */
  readonly part?: { readonly start: number; readonly end: number };
}

const BLOCK = 4096;

/** A kdump-compressed file: header, sub-header, two bitmaps, descriptors of pages, pages. */
export function buildKdump(parts: KdumpParts): Uint8Array<ArrayBuffer> {
  const { pages = [], version = 6, status = 1, machine = 'x86_64', notes, vmcoreinfo, part } = parts;
  const sorted = [...pages].sort((a, b) => a.frame - b.frame);
  const frames = parts.frames ?? (sorted.at(-1)?.frame ?? 0) + 1;
  const text = new TextEncoder().encode(vmcoreinfo ?? '');
  const subBlocks = 1 + Math.ceil(((notes?.length ?? 0) + text.length) / BLOCK);
  const bitmapBlocks = Math.ceil(frames / 8 / BLOCK);
  const descriptorsAt = (1 + subBlocks + 2 * bitmapBlocks) * BLOCK;
  const own = sorted.filter(({ frame }) => part === undefined || (frame >= part.start && frame < part.end));
  const dataAt = descriptorsAt + 24 * own.length;
  const placed = own.filter(({ like }) => like === undefined);
  const bytes = new Uint8Array(dataAt + placed.reduce((sum, page) => sum + page.bytes.length, 0));
  const view = new DataView(bytes.buffer);
  const encode = (value: string, at: number) => bytes.set(new TextEncoder().encode(value), at);
  encode('KDUMP   ', 0);
  view.setInt32(8, version, true);
  encode(machine, 12 + 4 * 65);
  view.setUint32(424, status, true);
  view.setUint32(428, BLOCK, true);
  view.setUint32(432, subBlocks, true);
  view.setUint32(436, 2 * bitmapBlocks, true);
  view.setUint32(440, Math.min(frames, 0xffffffff), true);
  const wide = (at: number, value: number) => view.setBigUint64(BLOCK + at, BigInt(value), true);
  if (part !== undefined) {
    view.setInt32(BLOCK + 12, 1, true);
    for (const at of version < 6 ? [16] : [16, 80]) {
      wide(at, part.start);
      wide(at + 8, part.end);
    }
  }
  if (version >= 6) wide(96, frames);
  let at = 2 * BLOCK;
  for (const [field, content] of [
    [48, notes],
    [32, vmcoreinfo === undefined ? undefined : text],
  ] as const) {
    if (content === undefined) continue;
    wide(field, at);
    wide(field + 8, content.length);
    bytes.set(content, at);
    at += content.length;
  }
  // The bitmaps of all parts are those of the whole.
  for (const bitmap of [0, 1]) {
    const start = (1 + subBlocks + bitmap * bitmapBlocks) * BLOCK;
    for (const { frame } of sorted) {
      const byte = start + Math.floor(frame / 8);
      bytes[byte] = (bytes[byte] ?? 0) + 2 ** (frame % 8);
    }
  }
  let next = dataAt;
  const places = new Map<number, number>();
  for (const [index, page] of own.entries()) {
    const descriptor = descriptorsAt + 24 * index;
    const offset = places.get(page.like ?? -1) ?? next;
    view.setBigUint64(descriptor, BigInt(offset), true);
    view.setUint32(descriptor + 8, page.bytes.length, true);
    view.setUint32(descriptor + 12, page.flags ?? 0, true);
    if (page.like !== undefined) continue;
    places.set(page.frame, offset);
    bytes.set(page.bytes, offset);
    next += page.bytes.length;
  }
  return bytes;
}

/** A chunk of a flattened file. */
export interface FlatChunk {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A file as makedumpfile writes it to a pipe: its header, the chunks, and an end unless `cut`. */
export function buildFlattened(chunks: readonly FlatChunk[], cut = false): Uint8Array<ArrayBuffer> {
  const size = chunks.reduce((sum, { bytes }) => sum + 16 + bytes.length, BLOCK) + (cut ? 0 : 16);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set(new TextEncoder().encode('makedumpfile'));
  view.setBigInt64(16, 1n);
  view.setBigInt64(24, 1n);
  let at = BLOCK;
  for (const { offset, bytes } of chunks) {
    view.setBigInt64(at, BigInt(offset));
    view.setBigInt64(at + 8, BigInt(bytes.length));
    file.set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  if (!cut) file.fill(255, at);
  return file;
}
