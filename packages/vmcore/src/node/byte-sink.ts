import { type ByteSource, bytesSource } from '../byte-source.ts';
import { descriptorSource } from './descriptor-source.ts';
import { createTemporaryFile, type TemporaryFile } from './temporary-file.ts';

/** What is larger goes to a temporary file, which has holes where the dump has zeros. */
const MOST_IN_MEMORY = 2 ** 26;

/** Takes bytes in order, in memory while they are few, and becomes a source of them. */
export interface ByteSink {
  readonly size: number;
  append(chunk: Uint8Array): void;
  /** All that was taken. Call it once, after the last. */
  source(): ByteSource;
  /** In place of `source`: nobody wants it any more. */
  discard(): void;
}

/** @param path the name of what comes in, for errors */
export function createSink(path: string): ByteSink {
  let chunks: Uint8Array[] = [];
  let size = 0;
  let spilled: TemporaryFile | undefined;
  return {
    get size() {
      return size;
    },
    append(chunk) {
      size += chunk.length;
      if (spilled === undefined) {
        chunks.push(chunk);
        if (size <= MOST_IN_MEMORY) return;
        spilled = createTemporaryFile();
        for (const one of chunks) spilled.append(one);
        chunks = [];
      } else spilled.append(chunk);
    },
    source() {
      if (spilled !== undefined) {
        spilled.finish();
        return descriptorSource(path, spilled.descriptor, size);
      }
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      return bytesSource(bytes);
    },
    discard() {
      if (spilled !== undefined) descriptorSource(path, spilled.descriptor, 0).close();
    },
  };
}
