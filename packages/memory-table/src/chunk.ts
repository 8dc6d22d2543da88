/** Most boundaries of a chunk: 6 KiB of numbers, in which a binary search and a shift stay cheap. */
export const CHUNK_CAPACITY = 512;
/** From so many elements on, copyWithin is faster than a loop. */
const FEW = 24;

/**
 * A run of boundaries: from frame `starts[i]` to the next boundary, in this chunk or the one after it, every frame
 * has the code `codes[i]`.
 */
export interface Chunk {
  readonly starts: Float64Array;
  readonly codes: Uint32Array;
  length: number;
}

/** A chunk without boundaries. */
export function createChunk(): Chunk {
  return {
    starts: new Float64Array(CHUNK_CAPACITY),
    codes: new Uint32Array(CHUNK_CAPACITY),
    length: 0,
  };
}

/** Index of the boundary whose extent holds `frame`, which must not lie before the chunk's first. */
export function boundaryOf(chunk: Chunk, frame: number): number {
  const { starts } = chunk;
  let low = 0;
  let high = chunk.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= frame) low = middle;
    else high = middle;
  }
  return low;
}

/** Moves the boundaries from `at` on up by `count`: the chunk must have room for them. */
export function openGap(chunk: Chunk, at: number, count: number): void {
  const { starts, codes, length } = chunk;
  if (length - at > FEW) {
    starts.copyWithin(at + count, at, length);
    codes.copyWithin(at + count, at, length);
  } else {
    for (let index = length - 1; index >= at; index--) {
      starts[index + count] = starts[index] ?? 0;
      codes[index + count] = codes[index] ?? 0;
    }
  }
  chunk.length = length + count;
}

/** Drops the boundaries from `write` up to `read`, and moves those behind them down. */
export function closeGap(chunk: Chunk, write: number, read: number): void {
  const { starts, codes, length } = chunk;
  if (length - read > FEW) {
    starts.copyWithin(write, read, length);
    codes.copyWithin(write, read, length);
  } else {
    for (let from = read, to = write; from < length; from++, to++) {
      starts[to] = starts[from] ?? 0;
      codes[to] = codes[from] ?? 0;
    }
  }
  chunk.length = length - (read - write);
}

/** Moves the boundaries of `source` from `from` on to the end of `target`, which must have room for them. */
export function moveTail(source: Chunk, from: number, target: Chunk): void {
  target.starts.set(source.starts.subarray(from, source.length), target.length);
  target.codes.set(source.codes.subarray(from, source.length), target.length);
  target.length += source.length - from;
  source.length = from;
}
