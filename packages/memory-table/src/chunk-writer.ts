import { CHUNK_CAPACITY, type Chunk, createChunk } from './chunk.ts';

/** Writes boundaries in ascending order into new chunks, and leaves out those at which nothing changes. */
export class ChunkWriter {
  readonly chunks: Chunk[] = [];
  #chunk: Chunk = createChunk();
  /** The code before the next boundary; -1 when there is none. */
  #before: number;

  /** @param before the code of what precedes the first boundary, -1 when nothing does */
  constructor(before: number) {
    this.#before = before;
  }

  /** From `start` on, frames have `code`. */
  put(start: number, code: number): void {
    if (code === this.#before) return;
    this.#before = code;
    let chunk = this.#chunk;
    if (chunk.length === CHUNK_CAPACITY) {
      chunk = createChunk();
      this.#chunk = chunk;
    }
    if (chunk.length === 0) this.chunks.push(chunk);
    chunk.starts[chunk.length] = start;
    chunk.codes[chunk.length] = code;
    chunk.length++;
  }
}
