import { FRAME_END } from '@heki/physical-memory';
import type { Chunk } from './chunk.ts';

/** Goes through the extents of chunks in order, and can be left in the middle of one. */
export class ExtentReader {
  /** What is left of the extent at hand; behind the last one, `start` is the end of all frames. */
  start: number;
  end: number;
  code: number;
  readonly #chunks: readonly Chunk[];
  #number: number;
  #index = 0;

  /** Begins with the first extent of the chunk `number`. */
  constructor(chunks: readonly Chunk[], number: number) {
    this.#chunks = chunks;
    this.#number = number;
    const chunk = this.#chunk();
    this.start = chunk.starts[0] ?? 0;
    this.code = chunk.codes[0] ?? 0;
    this.end = this.#nextStart();
  }

  /** Number of the chunk of the extent at hand; behind the last extent, of the last chunk. */
  get number(): number {
    return this.#number;
  }

  next(): void {
    this.start = this.end;
    if (this.start === FRAME_END) {
      this.end = Number.POSITIVE_INFINITY;
      return;
    }
    this.#index++;
    if (this.#index === this.#chunk().length) {
      this.#number++;
      this.#index = 0;
    }
    this.code = this.#chunk().codes[this.#index] ?? 0;
    this.end = this.#nextStart();
  }

  #chunk(): Chunk {
    return this.#chunks[this.#number] as Chunk;
  }

  #nextStart(): number {
    const chunk = this.#chunk();
    if (this.#index + 1 < chunk.length) return chunk.starts[this.#index + 1] ?? 0;
    return this.#chunks[this.#number + 1]?.starts[0] ?? FRAME_END;
  }
}
