/** Most boundaries of a chunk: 2 KiB of frame numbers, which a binary search and a shift stay cheap in. */
export const CHUNK_CAPACITY = 256;

/**
 * A run of boundaries: from frame `starts[i]` to the next boundary, in this chunk or the one after it, every frame
 * has the value `values[i]`, `undefined` for none.
 */
export interface Chunk<Value> {
  readonly starts: Float64Array;
  readonly values: (Value | undefined)[];
  length: number;
}

/** A chunk without boundaries. */
export function createChunk<Value>(): Chunk<Value> {
  return {
    starts: new Float64Array(CHUNK_CAPACITY),
    values: new Array<Value | undefined>(CHUNK_CAPACITY).fill(undefined),
    length: 0,
  };
}

/** Index of the boundary whose extent holds `frame`, which must not lie before the chunk's first. */
export function boundaryOf<Value>(chunk: Chunk<Value>, frame: number): number {
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
export function openGap<Value>(chunk: Chunk<Value>, at: number, count: number): void {
  const { starts, values } = chunk;
  for (let index = chunk.length - 1; index >= at; index--) {
    starts[index + count] = starts[index] ?? 0;
    values[index + count] = values[index];
  }
  chunk.length += count;
}

/** Drops the boundaries from `write` up to `read`, and moves those behind them down. */
export function closeGap<Value>(chunk: Chunk<Value>, write: number, read: number): void {
  const { starts, values, length } = chunk;
  let to = write;
  for (let from = read; from < length; from++) {
    starts[to] = starts[from] ?? 0;
    values[to] = values[from];
    to++;
  }
  values.fill(undefined, to, length);
  chunk.length = to;
}

/** Moves the boundaries of `source` from `from` on to the end of `target`, which must have room for them. */
export function moveTail<Value>(source: Chunk<Value>, from: number, target: Chunk<Value>): void {
  let to = target.length;
  for (let index = from; index < source.length; index++) {
    target.starts[to] = source.starts[index] ?? 0;
    target.values[to] = source.values[index];
    to++;
  }
  target.length = to;
  source.values.fill(undefined, from, source.length);
  source.length = from;
}
