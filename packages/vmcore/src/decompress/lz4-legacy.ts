import { VmcoreError } from '../error.ts';

/** How `lz4 -l` begins, by which kernel images are packed (LZ4 Frame Format Description, "Legacy frame"). */
const MAGIC = 0x184c2102;
/** What a block unpacks to at most; it refers to nothing of the block before it. */
const BLOCK_BYTES = 2 ** 23;
/** In the four bits of a length: further bytes are added, up to one that is not 255. */
const EXTENDED = 15;
const MIN_MATCH = 4;
/** From so many bytes on, the engine's own copy is faster than a loop. */
const LONG_COPY = 32;

/**
 * Fills `target` from a legacy LZ4 frame, or several of them, and nothing behind them: of the payload of a bzImage, all but the last four
 * bytes, which tell `target`'s length.
 *
 * @throws {VmcoreError} when the stream is damaged, or gives more or fewer bytes
 */
export function decompressLz4Legacy(stream: Uint8Array, target: Uint8Array): void {
  const fields = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  let from = 0;
  let to = 0;

  function damaged(why: string): VmcoreError {
    return new VmcoreError(`damaged LZ4 data: ${why} at byte ${from} of ${stream.length}`);
  }

  function word(): number {
    if (from + 4 > stream.length) throw damaged('it ends');
    const value = fields.getUint32(from, true);
    from += 4;
    return value;
  }

  function length(bits: number, blockEnd: number): number {
    if (bits < EXTENDED) return bits;
    let sum = bits;
    for (;;) {
      if (from >= blockEnd) throw damaged('a length leaves its block');
      const byte = stream[from++] ?? 0;
      sum += byte;
      if (byte < 255) return sum;
    }
  }

  /** The sequences up to `blockEnd`: literals, then a copy of what came before. The last one has no copy. */
  function block(blockEnd: number): void {
    const start = to;
    const limit = Math.min(target.length, start + BLOCK_BYTES);
    while (from < blockEnd) {
      const token = stream[from++] ?? 0;
      const literals = length(token >> 4, blockEnd);
      if (from + literals > blockEnd) throw damaged('literals leave their block');
      if (to + literals > limit) throw damaged(`more than ${limit} bytes`);
      if (literals < LONG_COPY) {
        for (let done = 0; done < literals; done++) target[to++] = stream[from++] ?? 0;
      } else {
        target.set(stream.subarray(from, from + literals), to);
        from += literals;
        to += literals;
      }
      if (from === blockEnd) return;
      if (from + 2 > blockEnd) throw damaged('a distance leaves its block');
      const distance = (stream[from] ?? 0) + (stream[from + 1] ?? 0) * 256;
      from += 2;
      const count = MIN_MATCH + length(token & 15, blockEnd);
      if (distance === 0 || distance > to - start) throw damaged('it refers to what is not in its block');
      if (to + count > limit) throw damaged(`more than ${limit} bytes`);
      if (count < LONG_COPY || distance < count) {
        for (let done = 0; done < count; done++, to++) target[to] = target[to - distance] ?? 0;
      } else {
        target.copyWithin(to, to - distance, to - distance + count);
        to += count;
      }
    }
    throw damaged('a block ends in a copy');
  }

  if (word() !== MAGIC) throw damaged('no legacy frame');
  while (from < stream.length) {
    const size = word();
    if (size === MAGIC) continue;
    if (from + size > stream.length) throw damaged(`a block of ${size} bytes leaves the stream`);
    block(from + size);
  }
  if (to !== target.length) throw damaged(`${to} bytes: expected ${target.length}`);
}
