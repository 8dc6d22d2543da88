import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { descriptorSource } from './descriptor-source.ts';
import { gunzipSource } from './gunzip.ts';
import { unpackByProgram, unpackerOf } from './unpack-by-program.ts';

/**
 * A file as a source: a plain one is read by position and never loaded; of one that gzip, zstd or xz made, what it holds.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or inflates to more than `maxInflatedBytes`
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
        : unpackByProgram(path, file.descriptor, unpacker, maxInflatedBytes);
    file.close();
    return unpacked;
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string): ByteSource & { readonly descriptor: number } {
  let descriptor: number;
  try {
    // Without the flag, opening a named pipe waits for someone who writes to it. Windows has neither.
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
  const stats = fstatSync(descriptor);
  if (!stats.isFile()) {
    closeSync(descriptor);
    throw new VmcoreError(`${path} is no regular file`);
  }
  return { ...descriptorSource(path, descriptor, stats.size), descriptor };
}
