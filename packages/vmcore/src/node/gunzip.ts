import { Gunzip } from 'minizlib';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { createSink } from './byte-sink.ts';

/** A step gives at most a thousand times as much: 16 MiB. */
const STEP = 2 ** 14;
/** Deflate makes at most 1,032 bytes of one. No dump is so empty: beyond 1 GiB it is taken for a bomb. */
const MOST_INFLATION = 1000;
const BOMB_FROM = 2 ** 30;

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
      const size = inflated.size + chunk.length;
      if (size > limit) throw new VmcoreError(`${path} inflates to more than ${limit} bytes`);
      if (size > BOMB_FROM && size > consumed * MOST_INFLATION) {
        throw new VmcoreError(`${path} inflates to ${MOST_INFLATION} times its size: a gzip bomb, no dump`);
      }
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
