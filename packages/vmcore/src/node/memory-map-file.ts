import { closeSync, openSync, readSync } from 'node:fs';
import { VmcoreError } from '../error.ts';
import type { IomemMap } from '../iomem.ts';
import { parseMemoryMap } from '../memory-map-text.ts';

/** The largest machines have some thousand lines in /proc/iomem. */
const MAX_BYTES = 16 * 2 ** 20;

/**
 * The memory map in a file: the text of /proc/iomem, or JSON whose `iomem` is an array of its lines, as stands
 * beside a snapshot.
 *
 * @throws {VmcoreError} when the file cannot be read, is larger than 16 MiB or holds no memory map
 */
export function readMemoryMap(path: string): IomemMap {
  const text = readText(path);
  try {
    return parseMemoryMap(text);
  } catch (cause) {
    throw new VmcoreError(`${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Not by the size that the file system tells: that of /proc/iomem is 0, and a device has none. */
function readText(path: string): string {
  const bytes = new Uint8Array(MAX_BYTES + 1);
  let length = 0;
  try {
    const file = openSync(path, 'r');
    try {
      for (let count = 1; count > 0 && length < bytes.length; length += count) {
        count = readSync(file, bytes, length, bytes.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (length > MAX_BYTES) {
    throw new VmcoreError(
      `${path}: larger than ${MAX_BYTES / 2 ** 20} MiB: expected the text of /proc/iomem`,
    );
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}
