import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { descriptorSource } from './descriptor-source.ts';
import { gunzipSource } from './gunzip.ts';
import { spoolPipe } from './spool-pipe.ts';
import { unpackByProgram, unpackerOf } from './unpack-by-program.ts';

/** What `-` is. It cannot be opened by a name: it may be a socket. */
const STANDARD_INPUT = 0;

/**
 * A file as a source: a plain one is read by position and never loaded; of one that gzip, zstd or xz made, what it holds. A pipe is
 * read to its end first; `-` is standard input.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or unpacks to more than `maxInflatedBytes`
 */
export function openSource(path: string, maxInflatedBytes: number): ByteSource {
  const file = openFile(path);
  try {
    const start = new Uint8Array(Math.min(6, file.size));
    file.read(0, start);
    const unpacker = unpackerOf(start);
    if (unpacker === undefined && (start[0] !== 0x1f || start[1] !== 0x8b)) return file;
    const unpacked =
      unpacker === undefined
        ? gunzipSource(path, file, maxInflatedBytes)
        : unpackByProgram(path, file, unpacker, maxInflatedBytes);
    file.close();
    return unpacked;
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string): ByteSource & { readonly descriptor: number } {
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
