import { closeSync, readSync } from 'node:fs';
import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';
import { createTemporaryFile, type TemporaryFile } from './temporary-file.ts';

const CHUNK_BYTES = 2 ** 16;
/** Milliseconds from one look at an empty pipe to the next: short at first, for its writer may only be slower than we are. */
const SHORTEST_PAUSE = 0.1;
const LONGEST_PAUSE = 20;

/**
 * Puts what comes through the pipe `descriptor`, until its writers are gone, into a temporary file: a dump is read in no order.
 *
 * @param descriptor stays the caller's; that of the file is for the caller to close
 * @param named it was opened by its name, with O_NONBLOCK: its writer may yet come. Standard input has one from the beginning
 * @throws {VmcoreError} when no process writes to it, nothing comes from it, or more than 8 GiB
 */
export function spoolPipe(path: string, descriptor: number, named: boolean): TemporaryFile {
  const patience = named ? DUMP_LIMITS.namedPipeSilence : DUMP_LIMITS.inputSilence;
  const spool = createTemporaryFile();
  let silentSince = Date.now();
  let pause = SHORTEST_PAUSE;
  try {
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const length = readSome(path, descriptor, chunk);
      if (length !== undefined && length > 0) {
        spool.append(chunk.subarray(0, length));
        if (spool.size > DUMP_LIMITS.pipeBytes)
          throw new VmcoreError(
            `${path}: more than ${DUMP_LIMITS.pipeBytes / 2 ** 30} GiB came through this pipe: expected a file`,
          );
        silentSince = Date.now();
        pause = SHORTEST_PAUSE;
        continue;
      }
      // A pipe that no process has opened for writing yet looks as if it were at its end.
      if (length === 0 && (spool.size > 0 || !named)) break;
      if (Date.now() - silentSince > patience) {
        const who = length === 0 ? 'no process writes to this pipe' : 'nothing comes from this pipe';
        throw new VmcoreError(`${path}: ${who}, for ${patience / 1000} seconds: expected a dump`);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
    spool.finish();
    return spool;
  } catch (error) {
    closeSync(spool.descriptor);
    throw error;
  }
}

/** How many bytes came, 0 at the end; `undefined` when none have come yet. */
function readSome(path: string, descriptor: number, target: Uint8Array): number | undefined {
  try {
    return readSync(descriptor, target);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw new VmcoreError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
