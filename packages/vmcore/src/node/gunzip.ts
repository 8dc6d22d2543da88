import { Gunzip } from 'minizlib';
import { type ByteSource, bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';
import { checkUnpacked } from './check-unpacked.ts';
import { descriptorSource } from './descriptor-source.ts';
import { createTemporaryFile, type TemporaryFile } from './temporary-file.ts';

/** A step gives at most a thousand times as much: 16 MiB. */
const STEP = 2 ** 14;

/**
 * What is in the gzip file `file`, inflated step by step: never twice in memory, and from 64 MiB on not in memory at all.
 *
 * @param path its name, for errors
 * @param limit most bytes that may come out
 * @throws {VmcoreError} when it is damaged or cut short, or more comes out; or when there is no room for the temporary file
 */
export function gunzipSource(path: string, file: ByteSource, limit: number): ByteSource {
  const inflated = createSink(path);
  try {
    inflate(path, file, (chunk, consumed) => {
      checkUnpacked(path, inflated.size + chunk.length, consumed, limit);
      inflated.append(chunk);
    });
    return inflated.source();
  } catch (error) {
    inflated.discard();
    if (!(error instanceof VmcoreError) || error.message.startsWith(path)) throw error;
    throw new VmcoreError(`${path}: ${error.message}`, { cause: error });
  }
}

/** @param take gets what comes out, in order, with how many bytes went in so far */
function inflate(path: string, file: ByteSource, take: (chunk: Uint8Array, consumed: number) => void): void {
  const gunzip = new Gunzip({});
  let consumed = 0;
  let damage: unknown;
  gunzip.on('data', (chunk) => take(chunk, consumed));
  gunzip.on('error', (error) => {
    damage = error;
  });
  try {
    while (consumed < file.size && damage === undefined) {
      const step = Buffer.alloc(Math.min(STEP, file.size - consumed));
      file.read(consumed, step);
      consumed += step.length;
      gunzip.write(step);
    }
    if (damage === undefined) gunzip.end();
  } finally {
    gunzip.close();
  }
  if (damage === undefined) return;
  const { code, message } = damage as NodeJS.ErrnoException;
  const what =
    code === 'Z_BUF_ERROR'
      ? `a truncated gzip file: it ends at 0x${file.size.toString(16)}, before its contents do`
      : `a damaged gzip file: ${message}`;
  throw new VmcoreError(`${path} is ${what}`, { cause: damage });
}

/** Takes bytes in order, in memory while they are few. */
function createSink(path: string) {
  let chunks: Uint8Array[] = [];
  let size = 0;
  let spilled: TemporaryFile | undefined;
  return {
    get size() {
      return size;
    },
    append(chunk: Uint8Array): void {
      size += chunk.length;
      if (spilled === undefined) {
        chunks.push(chunk);
        if (size <= DUMP_LIMITS.unpackedBytesInMemory) return;
        spilled = createTemporaryFile();
        for (const one of chunks) spilled.append(one);
        chunks = [];
      } else spilled.append(chunk);
    },
    source(): ByteSource {
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
    discard(): void {
      if (spilled !== undefined) descriptorSource(path, spilled.descriptor, 0).close();
    },
  };
}
