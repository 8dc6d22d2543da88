import { type BlobReader, type ByteSource, VmcoreError } from '@heki/vmcore';

/** Of what workers have and Node's types do not. */
declare const FileReaderSync: new () => BlobReader<Blob>;
declare const XMLHttpRequest: new () => {
  responseType: string;
  readonly response: ArrayBuffer | null;
  readonly status: number;
  open(method: string, url: string, async: boolean): void;
  setRequestHeader(name: string, value: string): void;
  send(): void;
};

/** The reader by which a dump is read in a worker, without waiting. */
export const blobReader = (): BlobReader<Blob> => new FileReaderSync();

/** What is asked for at a time. */
const CHUNK = 2 ** 18;
/** Chunks that are kept: 32 MiB. */
const MOST_CHUNKS = 128;

/** A file of a server that gives parts of it, as a source: each part is waited for, which workers may. */
export function servedSource(url: string, size: number): ByteSource {
  const chunks = new Map<number, Uint8Array>();

  function chunkAt(number: number): Uint8Array {
    const known = chunks.get(number);
    if (known !== undefined) return known;
    const start = number * CHUNK;
    const end = Math.min(start + CHUNK, size);
    const bytes = requestedBytes(url, start, end, size);
    const oldest = chunks.keys().next().value;
    if (chunks.size >= MOST_CHUNKS && oldest !== undefined) chunks.delete(oldest);
    chunks.set(number, bytes);
    return bytes;
  }

  return {
    size,
    read(offset, target) {
      if (offset + target.length > size) {
        throw new VmcoreError(
          `truncated: ${target.length} bytes expected, but the file ends at 0x${size.toString(16)}`,
          { offset },
        );
      }
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

/** @throws {VmcoreError} when the server does not give exactly these bytes */
function requestedBytes(url: string, start: number, end: number, size: number): Uint8Array {
  const request = new XMLHttpRequest();
  try {
    request.open('GET', url, false);
    request.responseType = 'arraybuffer';
    if (start > 0 || end < size) request.setRequestHeader('Range', `bytes=${start}-${end - 1}`);
    request.send();
  } catch (cause) {
    throw new VmcoreError('the server that the page came from does not answer', { offset: start, cause });
  }
  const bytes = new Uint8Array(request.response ?? new ArrayBuffer(0));
  const isWhole = request.status === 200 && bytes.length === size;
  if (isWhole) return bytes.subarray(start, end);
  if (request.status === 206 && bytes.length === end - start) return bytes;
  throw new VmcoreError(
    `the server that the page came from answered ${request.status} with ${bytes.length} bytes, ${end - start} were asked for`,
    { offset: start },
  );
}
