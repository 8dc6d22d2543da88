import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Compression } from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';

/** Programs, for what no library of the registry unpacks, or not as fast by far. */
const PROGRAMS = { xz: ['xz', '-dc'], zstd: ['zstd', '-dcq'] } as const;
/** Of what a program says, its beginning is enough. */
const MOST_WORDS = 200;

/**
 * What `chunks` unpack to, as it comes. What is not asked for is not unpacked.
 *
 * @param file for errors
 * @throws {InputError} when they are damaged, or the program that it takes is not here
 */
export function unpacked(
  chunks: AsyncIterable<Uint8Array>,
  compression: Exclude<Compression, 'lz4'>,
  file: string,
): AsyncIterable<Uint8Array> {
  return compression === 'gzip' ? inflated(chunks, file) : byProgram(chunks, PROGRAMS[compression], file);
}

async function* inflated(chunks: AsyncIterable<Uint8Array>, file: string): AsyncGenerator<Uint8Array, void> {
  const gunzip = createGunzip();
  // What goes wrong is met where the output is read.
  const fed = pipeline(chunks, gunzip).catch(() => {});
  try {
    yield* gunzip;
  } catch (error) {
    if (fileErrorText(error) !== undefined || !(error instanceof Error)) throw error;
    throw new InputError(`cannot be unpacked: ${error.message}`, { file }, error);
  } finally {
    gunzip.destroy();
    await fed;
  }
}

async function* byProgram(
  chunks: AsyncIterable<Uint8Array>,
  [program, options]: readonly [program: string, options: string],
  file: string,
): AsyncGenerator<Uint8Array, void> {
  const child = spawn(program, [options], { env: { ...process.env, LC_ALL: 'C' } });
  const ended = new Promise<number | Error | null>((resolve) => {
    child.on('error', resolve);
    child.on('close', resolve);
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(0, MOST_WORDS);
  });
  // A program that has ended takes no more: why, it says itself.
  const fed = pipeline(Readable.from(chunks), child.stdin).catch(() => {});
  try {
    yield* child.stdout;
    const end = await ended;
    if (end instanceof Error && fileErrorText(end) !== undefined) {
      throw new InputError(
        `packed by ${program}, and there is no program ${program} here: install it, or unpack the file elsewhere`,
        { file },
        end,
      );
    }
    if (end !== 0) {
      throw new InputError(`cannot be unpacked by ${program}: ${said.trim().split('\n')[0]}`, { file });
    }
  } finally {
    child.kill();
    await fed;
  }
}
