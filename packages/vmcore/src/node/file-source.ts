import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type ByteSource, beyondEnd, bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';

/**
 * A file as a source: a plain one is read by position and never loaded; one that gzip made is inflated into memory.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or inflates to more than `maxInflatedBytes`
 */
export function openSource(path: string, maxInflatedBytes: number): ByteSource {
  const file = openFile(path);
  try {
    const magic = new Uint8Array(2);
    if (file.size >= 2) file.read(0, magic);
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) return file;
    const inflated = inflate(path, file, maxInflatedBytes);
    file.close();
    return bytesSource(inflated);
  } catch (error) {
    file.close();
    throw error;
  }
}

function openFile(path: string): ByteSource {
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
  let open = true;
  return {
    size: stats.size,
    read(offset, target) {
      if (!open) throw new VmcoreError(`${path} is closed: read what is needed before`, { offset });
      let done = 0;
      while (done < target.length) {
        const count = readAt(path, descriptor, target.subarray(done), offset + done);
        if (count === 0) throw beyondEnd(offset, target.length, offset + done);
        done += count;
      }
    },
    words: () => undefined,
    close() {
      // The descriptor's number may belong to another file by the time of a second call.
      if (open) closeSync(descriptor);
      open = false;
    },
  };
}

function readAt(path: string, descriptor: number, target: Uint8Array, offset: number): number {
  try {
    return readSync(descriptor, target, 0, target.length, offset);
  } catch (cause) {
    throw new VmcoreError(`${path} cannot be read: ${(cause as Error).message}`, { offset, cause });
  }
}

function inflate(path: string, file: ByteSource, limit: number): Uint8Array {
  const tooLarge = `${path} inflates to more than ${limit} bytes: unpack it with gunzip, then it is read page by page`;
  if (file.size > limit) throw new VmcoreError(tooLarge);
  const compressed = new Uint8Array(file.size);
  file.read(0, compressed);
  try {
    return gunzipSync(compressed, { maxOutputLength: limit });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw new VmcoreError(tooLarge, { cause });
    throw new VmcoreError(`${path} is a damaged gzip file: ${(cause as Error).message}`, { cause });
  }
}
