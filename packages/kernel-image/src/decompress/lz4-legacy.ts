import { KernelImageError } from '../error.ts';

/** How `lz4 -l` begins, by which kernel images are packed (LZ4 Frame Format Description, "Legacy frame"). */
const MAGIC = 0x184c2102;
/** What a block unpacks to at most; it refers to nothing of the block before it. */
const BLOCK_BYTES = 2 ** 23;
/** In the four bits of a length: further bytes are added, up to one that is not 255. */
const EXTENDED = 15;
const MIN_MATCH = 4;
/** From so many bytes on, the engine's own copy is faster than a loop. */
const LONG_COPY = 64;

/**
 * Fills `target` from a legacy LZ4 frame, or several of them, and nothing behind them: of the payload of a bzImage, all but the last four
 * bytes, which tell `target`'s length.
 *
 * @throws {KernelImageError} when the stream is damaged, or gives more or fewer bytes
 */
export function decompressLz4Legacy(stream: Uint8Array, target: Uint8Array): void {
  const fields = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  if (stream.length < 4 || fields.getUint32(0, true) !== MAGIC) throw damaged(stream, 0, 'no legacy frame');
  let from = 4;
  let to = 0;
  while (from < stream.length) {
    if (from + 4 > stream.length) throw damaged(stream, from, 'it ends');
    const size = fields.getUint32(from, true);
    from += 4;
    if (size === MAGIC) continue;
    if (from + size > stream.length) {
      throw damaged(stream, from, `a block of ${size} bytes leaves the stream`);
    }
    to = decompressBlock(stream, from, from + size, target, to);
    from += size;
  }
  if (to !== target.length) throw damaged(stream, from, `${to} bytes: expected ${target.length}`);
}

/**
 * The sequences of the block `start` .. `end` - 1: literals, then a copy of what came before; the last one has no copy.
 *
 * @param first where in `target` the block goes
 * @returns where it ends there
 */
function decompressBlock(
  stream: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  first: number,
): number {
  const limit = Math.min(target.length, first + BLOCK_BYTES);
  let from = start;
  let to = first;
  while (from < end) {
    const token = stream[from++] ?? 0;
    let literals = token >> 4;
    if (literals === EXTENDED) {
      let byte = 255;
      for (; byte === 255 && from < end; literals += byte) byte = stream[from++] ?? 0;
    }
    if (from + literals > end) throw damaged(stream, from, 'literals leave their block');
    if (to + literals > limit) throw damaged(stream, from, `more than ${limit} bytes`);
    if (literals < LONG_COPY) {
      for (let done = 0; done < literals; done++) target[to++] = stream[from++] ?? 0;
    } else {
      target.set(stream.subarray(from, from + literals), to);
      from += literals;
      to += literals;
    }
    if (from === end) return to;

    if (from + 2 > end) throw damaged(stream, from, 'a distance leaves its block');
    const distance = (stream[from] ?? 0) + (stream[from + 1] ?? 0) * 256;
    from += 2;
    let count = token & 15;
    if (count === EXTENDED) {
      let byte = 255;
      for (; byte === 255 && from < end; count += byte) byte = stream[from++] ?? 0;
    }
    count += MIN_MATCH;
    if (distance === 0 || distance > to - first) {
      throw damaged(stream, from, 'it refers to what is not in its block');
    }
    if (to + count > limit) throw damaged(stream, from, `more than ${limit} bytes`);
    if (count < LONG_COPY || distance < count) {
      for (const stop = to + count; to < stop; to++) target[to] = target[to - distance] ?? 0;
    } else {
      target.copyWithin(to, to - distance, to - distance + count);
      to += count;
    }
  }
  throw damaged(stream, from, 'a block ends in a copy');
}

function damaged(stream: Uint8Array, at: number, why: string): KernelImageError {
  return new KernelImageError(`damaged LZ4 data: ${why} at byte ${at} of ${stream.length}`);
}
