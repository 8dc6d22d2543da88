import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { InputError } from '../failure.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { bytesText } from '../quantity.ts';
import type { InputKind } from './input-kind.ts';
import { standardStream } from './standard-stream.ts';

const CHUNK_BYTES = 1 << 16;
/** Milliseconds from one look at an empty pipe to the next: short at first, for its writer may only be slower than we are. */
const SHORTEST_PAUSE = 1;
const LONGEST_PAUSE = 20;

/**
 * The bytes of a file as they come: of a device or of /proc, whose size is not known, and of a named pipe, too, which never
 * makes the command wait without end. `-` is standard input.
 *
 * @throws {InputError} when it is a regular file that is larger than its kind may be, or a pipe where nothing comes; the
 * file system's own error when it cannot be read
 */
export async function* fileChunks(path: string, kind: InputKind): AsyncGenerator<Uint8Array, void> {
  if (path === '-') {
    yield* standardInput(kind);
    return;
  }
  // Opening a named pipe would wait for someone who writes to it. Windows has neither the flag nor such pipes.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = await file.stat();
    if (stats.isFile() && stats.size > kind.mostBytes) throw tooLarge(path, kind, bytesText(stats.size));
    const isPipe = stats.isFIFO();
    let begun = false;
    let silentSince = Date.now();
    let pause = SHORTEST_PAUSE;
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const length = await readSome(file, chunk);
      if (length !== undefined && length > 0) {
        begun = true;
        yield chunk.subarray(0, length);
        silentSince = Date.now();
        pause = SHORTEST_PAUSE;
        continue;
      }
      // A pipe that no process has opened for writing looks as if it were at its end.
      if (length === 0 && (begun || !isPipe)) return;
      if (Date.now() - silentSince > COMMAND_LIMITS.silence) {
        const who = length === 0 ? 'no process writes to this pipe' : 'nothing comes from it';
        throw new InputError(`${who}, for ${COMMAND_LIMITS.silence / 1000} seconds: expected ${kind.name}`, {
          file: path,
        });
      }
      await wait(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    }
  } catch (error) {
    // Of a read, the system's error does not tell of what.
    throw error instanceof Error && 'syscall' in error && !('path' in error)
      ? Object.assign(error, { path })
      : error;
  } finally {
    await file.close();
  }
}

/** What comes from standard input. @throws {InputError} when nothing comes for longer than from a pipe: it may be a person who types */
async function* standardInput(kind: InputKind): AsyncGenerator<Uint8Array, void> {
  const patience = COMMAND_LIMITS.inputSilence;
  const error = new InputError(
    `nothing comes from it, for ${patience / 1000} seconds: expected ${kind.name}`,
    {
      file: '-',
    },
  );
  const stream = standardStream();
  const timer = setTimeout(() => stream.destroy(error), patience);
  try {
    for await (const chunk of stream) {
      timer.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** How many bytes came, 0 at the end; `undefined` when none have come yet. */
async function readSome(file: FileHandle, target: Uint8Array): Promise<number | undefined> {
  try {
    return (await file.read(target, 0, target.length, null)).bytesRead;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** The refusal of what is larger than its kind may be. @param has its size, in words */
export function tooLarge(path: string, kind: InputKind, has: string): InputError {
  return new InputError(`${has}: expected ${kind.name}, at most ${bytesText(kind.mostBytes)}`, {
    file: path,
  });
}
