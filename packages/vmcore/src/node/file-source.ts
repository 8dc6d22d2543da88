import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { descriptorSource } from './descriptor-source.ts';
import { gunzipSource } from './gunzip.ts';
import { pipeSource } from './pipe-source.ts';

/** What `-` is. Nobody opens it by a name: it may be a socket. */
const STANDARD_INPUT = 0;

/**
 * A file as a source: a plain one is read by position and never loaded; of one that gzip made, what it holds. A pipe is read to its
 * end first; `-` is standard input.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or inflates to more than `maxInflatedBytes`
 */
export function openSource(path: string, maxInflatedBytes: number): ByteSource {
  const file = openFile(path);
  try {
    const magic = new Uint8Array(2);
    if (file.size >= 2) file.read(0, magic);
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) return file;
    const inflated = gunzipSource(path, file, maxInflatedBytes);
    file.close();
    return inflated;
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string): ByteSource {
  const isInput = path === '-';
  let descriptor: number;
  try {
    // Without the flag, opening a named pipe waits for someone who writes to it. Windows has neither.
    descriptor = isInput ? STANDARD_INPUT : openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
  const stats = fstatSync(descriptor);
  if (stats.isFile()) return descriptorSource(path, descriptor, stats.size);
  try {
    if (stats.isFIFO() || (isInput && stats.isSocket())) return pipeSource(path, descriptor, !isInput);
    throw new VmcoreError(`${path} is neither a file nor a pipe`);
  } finally {
    if (!isInput) closeSync(descriptor);
  }
}
