import { closeSync, readSync } from 'node:fs';
import { type ByteSource, beyondEnd } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';

/** The `size` bytes of an open file as a source, which closes it in the end. */
export function descriptorSource(path: string, descriptor: number, size: number): ByteSource {
  let open = true;
  return {
    size,
    read(offset, target) {
      if (!open) throw new VmcoreError(`${path} is closed: read what is needed before`, { offset });
      if (offset + target.length > size) throw beyondEnd(offset, target.length, size);
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
