import { type ByteSource, beyondEnd } from './byte-source.ts';
import { VmcoreError } from './error.ts';

/** What is used of a `Blob`, or of the `File` that a person chose. */
interface BlobLike {
  readonly size: number;
  slice(start: number, end: number): BlobLike;
}

/** What is used of a `FileReaderSync`, which browsers have in workers alone. */
export interface BlobReader<Blob extends BlobLike> {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** What is read at a time: each call crosses to another process in a browser. */
const CHUNK = 2 ** 18;
/** Chunks that are kept: 16 MiB. */
const MOST_CHUNKS = 64;

/**
 * A `Blob` as a source, in a Web Worker: `blobSource(file, new FileReaderSync())`. It is read by pieces of 256 KiB, when they are
 * asked for.
 */
export function blobSource<Blob extends BlobLike>(blob: Blob, reader: BlobReader<Blob>): ByteSource {
  const chunks = new Map<number, Uint8Array>();

  function chunkAt(number: number): Uint8Array {
    const known = chunks.get(number);
    if (known !== undefined) return known;
    const start = number * CHUNK;
    const end = Math.min(start + CHUNK, blob.size);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(reader.readAsArrayBuffer(blob.slice(start, end) as Blob));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VmcoreError(`the file cannot be read: ${why}`, { offset: start, cause });
    }
    if (bytes.length !== end - start) throw beyondEnd(start, end - start, start + bytes.length);
    const oldest = chunks.keys().next().value;
    if (chunks.size >= MOST_CHUNKS && oldest !== undefined) chunks.delete(oldest);
    chunks.set(number, bytes);
    return bytes;
  }

  return {
    size: blob.size,
    read(offset, target) {
      if (offset + target.length > blob.size) throw beyondEnd(offset, target.length, blob.size);
      for (let done = 0; done < target.length; ) {
        const at = offset + done;
        const from = at % CHUNK;
        const part = chunkAt((at - from) / CHUNK).subarray(from, from + target.length - done);
        target.set(part, done);
        done += part.length;
      }
    },
    words: () => undefined,
    close: () => chunks.clear(),
  };
}
