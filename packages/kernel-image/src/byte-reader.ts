/** Reads what comes in chunks from front to back, and keeps none of what was read. */
export interface ByteReader {
  /** The next `count` bytes as they come; fewer where it ends. */
  part(count: number): AsyncGenerator<Uint8Array, void>;
  /** The next `count` bytes, fewer where it ends. */
  take(count: number): Promise<Uint8Array>;
  /** The same, to be read again. */
  peek(count: number): Promise<Uint8Array>;
  /** Reads over `count` bytes. Whether there were so many. */
  skip(count: number): Promise<boolean>;
  /** Ends the source, where the rest is not wanted. */
  close(): Promise<void>;
}

/** A reader of `chunks`. */
export function createByteReader(chunks: AsyncIterable<Uint8Array>): ByteReader {
  return new ChunkReader(chunks);
}

class ChunkReader implements ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  /** What came and was not read. */
  #held: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next chunk, of 1 to `most` bytes; `undefined` at the end. */
  async #next(most: number): Promise<Uint8Array | undefined> {
    while (this.#held.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#held = value;
    }
    const chunk = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(chunk.length);
    return chunk;
  }

  async *part(count: number): AsyncGenerator<Uint8Array, void> {
    for (let left = count; left > 0; ) {
      const chunk = await this.#next(left);
      if (chunk === undefined) return;
      left -= chunk.length;
      yield chunk;
    }
  }

  async take(count: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.part(count)) {
      chunks.push(chunk);
      length += chunk.length;
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  async peek(count: number): Promise<Uint8Array> {
    const bytes = await this.take(count);
    const held = new Uint8Array(bytes.length + this.#held.length);
    held.set(bytes);
    held.set(this.#held, bytes.length);
    this.#held = held;
    return bytes;
  }

  async skip(count: number): Promise<boolean> {
    let left = count;
    for await (const chunk of this.part(count)) left -= chunk.length;
    return left === 0;
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
