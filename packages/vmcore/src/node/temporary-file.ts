import { randomBytes } from 'node:crypto';
import { ftruncateSync, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';

/** To compare with. */
const ZEROS = new Uint8Array(2 ** 16);

/** A file without a name, which is gone with its descriptor. */
export interface TemporaryFile {
  /** For the caller to close. */
  readonly descriptor: number;
  /** In bytes, holes included. */
  readonly size: number;
  /** Adds to its end; of nothing but zeros, a hole. @throws {VmcoreError} when the disk has no room */
  append(bytes: Uint8Array): void;
  /** Call it after the last: a hole at the end is not there before. */
  finish(): void;
}

/**
 * An empty file in the folder for temporary files (TMPDIR), already without a name.
 *
 * @throws {VmcoreError} when there can be none
 */
export function createTemporaryFile(): TemporaryFile {
  const folder = tmpdir();
  const path = join(folder, `heki-${randomBytes(8).toString('hex')}`);
  const descriptor = inFolder(() => openSync(path, 'wx+', 0o600));
  inFolder(() => unlinkSync(path));
  let size = 0;
  let untilLook = 0;

  function inFolder<Result>(act: () => Result): Result {
    try {
      return act();
    } catch (cause) {
      // Not as its cause, which would be taken for what happened to the dump.
      throw new VmcoreError(`no temporary file in ${folder} (TMPDIR): ${(cause as Error).message}`, {
        unread: true,
      });
    }
  }

  function write(bytes: Uint8Array, position: number): void {
    untilLook -= bytes.length;
    if (untilLook <= 0) {
      untilLook = DUMP_LIMITS.freeDisk;
      const { bavail, bsize } = inFolder(() => statfsSync(folder));
      if (bavail * bsize < 2 * DUMP_LIMITS.freeDisk) {
        throw new VmcoreError(
          `${folder} (TMPDIR) has less than ${(2 * DUMP_LIMITS.freeDisk) / 2 ** 20} MiB left`,
          { unread: true },
        );
      }
    }
    for (let done = 0; done < bytes.length; ) {
      const rest = bytes.subarray(done);
      done += inFolder(() => writeSync(descriptor, rest, 0, rest.length, position + done));
    }
  }

  return {
    descriptor,
    get size() {
      return size;
    },
    append(bytes) {
      for (let at = 0; at < bytes.length; at += ZEROS.length) {
        const part = bytes.subarray(at, at + ZEROS.length);
        if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) write(part, size + at);
      }
      size += bytes.length;
    },
    finish: () => inFolder(() => ftruncateSync(descriptor, size)),
  };
}
