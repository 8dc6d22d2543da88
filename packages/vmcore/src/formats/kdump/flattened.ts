import { type ByteSource, beyondEnd, readFields } from '../../byte-source.ts';
import { VmcoreError } from '../../error.ts';
import { DUMP_LIMITS } from '../../limits.ts';
import { uppermost } from '../../range.ts';
import { hasText } from '../dump-format.ts';

/** A header of 4 KiB, then chunks: a file offset and a size, of 8 bytes each with the highest first, and the bytes. */
const FIRST_CHUNK = 4096;
const CHUNK_HEADER_SIZE = 16;

/** A stretch of the file that is meant: its byte at `offset` is in the flattened one at `offset + delta`. */
interface Chunk {
  readonly start: number;
  readonly end: number;
  readonly delta: number;
}

/** Whether a file that begins with `start` is one that makedumpfile, or QEMU, wrote to a pipe. */
export function isFlattened(start: Uint8Array): boolean {
  return hasText(start, 'makedumpfile\0');
}

/**
 * The file that was flattened (makedumpfile -F), as `makedumpfile -R` would write it, without writing it: the headers of its chunks
 * are read once. What a later chunk writes over an earlier one counts; what none writes is a hole, and reads zero.
 *
 * @throws {VmcoreError} when the chunks are damaged
 */
export function unflatten(source: ByteSource): { readonly source: ByteSource; readonly cut: boolean } {
  const { chunks, cut } = readChunks(source);
  const parts = uppermost(chunks.reverse());
  const ends = Float64Array.from(parts, ({ end }) => end);
  const size = ends.at(-1) ?? 0;

  /** The first part that ends above `offset`. */
  function partAbove(offset: number): number {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((ends[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    cut,
    source: {
      size,
      read(offset, target) {
        if (offset + target.length > size) throw beyondEnd(offset, target.length, size);
        let done = 0;
        for (let index = partAbove(offset); done < target.length; index++) {
          const { start, end, delta } = parts[index] ?? { start: size, end: size, delta: 0 };
          const hole = Math.min(target.length, Math.max(done, start - offset));
          target.fill(0, done, hole);
          done = Math.min(target.length, end - offset);
          if (done > hole) source.read(offset + hole + delta, target.subarray(hole, done));
        }
      },
      words: () => undefined,
      hasHole(offset, length) {
        let at = offset;
        for (let index = partAbove(offset); at < offset + length; index++) {
          const part = parts[index];
          if (part === undefined || part.start > at) return true;
          at = part.end;
        }
        return false;
      },
      close: () => source.close(),
    },
  };
}

function readChunks(source: ByteSource): { readonly chunks: Chunk[]; readonly cut: boolean } {
  const chunks: Chunk[] = [];
  let at = FIRST_CHUNK;
  while (at + CHUNK_HEADER_SIZE <= source.size) {
    const header = readFields(source, at, CHUNK_HEADER_SIZE);
    const start = header.getBigInt64(0);
    const length = header.getBigInt64(8);
    if (start === -1n && length === -1n) return { chunks, cut: false };
    if (start < 0n || length < 0n || start + length > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new VmcoreError(
        `a chunk of 0x${length.toString(16)} bytes for offset 0x${start.toString(16)}: expected both above 0, or an end`,
        { offset: at },
      );
    }
    if (chunks.length === DUMP_LIMITS.flattenedChunks)
      throw new VmcoreError(`more than ${DUMP_LIMITS.flattenedChunks} chunks`, { offset: at });
    const data = at + CHUNK_HEADER_SIZE;
    const held = Math.min(Number(length), source.size - data);
    chunks.push({ start: Number(start), end: Number(start) + held, delta: data - Number(start) });
    at = data + Number(length);
  }
  return { chunks, cut: true };
}
