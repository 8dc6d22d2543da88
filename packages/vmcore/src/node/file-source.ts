import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { descriptorSource } from './descriptor-source.ts';
import { gunzipSource } from './gunzip.ts';
import { spoolPipe } from './spool-pipe.ts';
import { createTemporaryFile } from './temporary-file.ts';
import { unpackByProgram, unpackerOf } from './unpack-by-program.ts';
import { isWebAddress, shownWebAddress } from './web/web-address.ts';
import { webSource } from './web/web-source.ts';

/** What is copied at a time. */
const CHUNK_BYTES = 2 ** 20;
/** What `-` is. It cannot be opened by a name: it may be a socket. */
const STANDARD_INPUT = 0;

/** A file, and its descriptor, if it has one: what is on the web has none. */
type OpenFile = ByteSource & { readonly descriptor?: number };

/**
 * A file as a source: a plain one is read by position and never loaded; of one that gzip, zstd or xz made, what it holds. A pipe is
 * read to its end first; `-` is standard input. What `http://` or `https://` is before is read from a web server.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or unpacks to more than `maxInflatedBytes`
 */
export function openSource(path: string, maxInflatedBytes: number): ByteSource {
  const isOnWeb = isWebAddress(path);
  return unpacked(
    isOnWeb ? shownWebAddress(path) : path,
    isOnWeb ? webSource(path) : openFile(path),
    maxInflatedBytes,
  );
}

/** What is in `file`. @param path its name, for errors */
function unpacked(path: string, file: OpenFile, maxInflatedBytes: number): ByteSource {
  try {
    const start = new Uint8Array(Math.min(6, file.size));
    file.read(0, start);
    const unpacker = unpackerOf(start);
    if (unpacker === undefined && (start[0] !== 0x1f || start[1] !== 0x8b)) return file;
    const contents =
      unpacker === undefined
        ? gunzipSource(path, file, maxInflatedBytes)
        : unpackedByProgram(path, file, unpacker, maxInflatedBytes);
    file.close();
    return file.warning === undefined ? contents : { ...contents, warning: file.warning };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The same by a program, which reads files alone. */
function unpackedByProgram(
  path: string,
  { descriptor, ...file }: OpenFile,
  unpacker: Parameters<typeof unpackByProgram>[2],
  limit: number,
): ByteSource {
  const { size } = file;
  if (descriptor !== undefined) return unpackByProgram(path, { descriptor, size }, unpacker, limit);
  const copy = createTemporaryFile();
  try {
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - at));
      file.read(at, chunk);
      copy.append(chunk);
    }
    copy.finish();
    return unpackByProgram(path, { descriptor: copy.descriptor, size }, unpacker, limit);
  } finally {
    closeSync(copy.descriptor);
  }
}

function openFile(path: string): OpenFile {
  const isInput = path === '-';
  const descriptor = isInput ? STANDARD_INPUT : openDescriptor(path);
  const stats = fstatSync(descriptor);
  if (stats.isFile()) return { ...descriptorSource(path, descriptor, stats.size), descriptor };
  try {
    if (!stats.isFIFO() && !(isInput && stats.isSocket())) {
      throw new VmcoreError(
        `${path} is ${stats.isDirectory() ? 'a directory' : 'neither a file nor a pipe'}`,
      );
    }
    const spool = spoolPipe(path, descriptor, !isInput);
    return { ...descriptorSource(path, spool.descriptor, spool.size), descriptor: spool.descriptor };
  } finally {
    if (!isInput) closeSync(descriptor);
  }
}

function openDescriptor(path: string): number {
  try {
    // Without the flag, opening a named pipe waits for someone who writes to it. Windows has neither.
    return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
}
