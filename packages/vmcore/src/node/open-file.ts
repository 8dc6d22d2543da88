import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type ByteSource, beyondEnd } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';

/** An open file. */
export interface FileSource extends ByteSource {
  readonly descriptor: number;
}

/** The file at `path`, which is read by position and never loaded. @throws {VmcoreError} when it cannot be opened */
export function openFile(path: string): FileSource {
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
  return descriptorSource(path, descriptor, stats.size);
}

/** A file that is open, by the number of its descriptor, which the source closes. */
export function descriptorSource(path: string, descriptor: number, size: number): FileSource {
  let open = true;
  return {
    descriptor,
    size,
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
