import { randomBytes } from 'node:crypto';
import { existsSync, realpathSync, rmSync } from 'node:fs';
import { link, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OutputError, UsageError } from './failure.ts';
import { fileErrorText } from './file-error.ts';
import { sidecarPath } from './read-sidecar.ts';

/** What ends a process from outside: Ctrl-C, kill(1), a terminal that is closed. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A file to be written. */
export interface OutputFile {
  readonly path: string;
  readonly chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/**
 * Writes files that belong together: each beside its place first, and only when all are complete do they take their
 * names. A reader sees a whole file or none.
 *
 * @param overwrite whether a file that is there may be replaced
 * @throws {OutputError} when one is there and may not, is not a regular file, or cannot be written
 * @throws {UsageError} when two have one name
 */
export async function writeFiles(files: readonly OutputFile[], overwrite: boolean): Promise<void> {
  const written: { readonly temporary: string; readonly place: string; readonly path: string }[] = [];
  const stay = onSignal(() => {
    for (const { temporary } of written) rmSync(temporary, { force: true });
  });
  try {
    for (const { path, chunks } of files) {
      await refuseSpecial(path);
      // A link stays one: /dev/stdout is one, too.
      const place = await realpath(path).catch(() => resolve(path));
      if (written.some((other) => other.place === place)) {
        throw new UsageError(`${path}: two outputs have this name`);
      }
      const temporary = join(dirname(place), `.${basename(place)}.${randomBytes(6).toString('hex')}`);
      written.push({ temporary, place, path });
      const file = await open(temporary, 'wx').catch((error: unknown) => {
        // Nothing is there that would have to go, and removing it could fail as well.
        written.pop();
        const why = fileErrorText(error);
        throw why === undefined ? error : new OutputError(why, { file: path }, error);
      });
      try {
        for await (const chunk of chunks) await writing(file.write(chunk), path);
      } finally {
        await file.close();
      }
    }
    for (const { temporary, place, path } of written) {
      await writing(takeName(temporary, place, overwrite), path);
    }
  } finally {
    for (const { temporary } of written) await rm(temporary, { force: true });
    stay();
  }
}

/** Does `last` when a signal ends the process, which it then does all the same. What it gives ends that. */
function onSignal(last: () => void): () => void {
  function end(signal: NodeJS.Signals): void {
    last();
    forget();
    process.kill(process.pid, signal);
  }
  function forget(): void {
    for (const signal of ENDING) process.off(signal, end);
  }
  for (const signal of ENDING) process.on(signal, end);
  return forget;
}

/** @throws {OutputError} for a device, a pipe or a socket: a file must not take its place, and one that comes later would */
async function refuseSpecial(path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there === undefined || there.isFile() || there.isDirectory()) return;
  throw new OutputError('is a device, a pipe or a socket: expected the name of a file', { file: path });
}

/** @throws {OutputError} when `work` on the file at `path` fails: the name beside it does not concern the user */
async function writing<Result>(work: Promise<Result>, path: string): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    const why = fileErrorText(error);
    throw why === undefined ? error : new OutputError(why, { file: path }, error);
  }
}

async function takeName(temporary: string, path: string, overwrite: boolean): Promise<void> {
  if (overwrite) return rename(temporary, path);
  try {
    // Fails when the name is taken, without a moment in between.
    await link(temporary, path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw existsError(path);
    throw error;
  }
}

/** The files of the dump that `path` names: its parts, where it is a list of them, and what stands beside it. */
export function filesOfDump(path: string): string[] {
  return [path, ...path.split(','), sidecarPath(path)];
}

/**
 * Refuses to put an output in the place of what the same command reads, by whatever name.
 *
 * @param outputs by the option that names each
 * @throws {UsageError} where one is among `inputs`
 */
export function refuseInputs(
  outputs: readonly (readonly [option: string, path: string | undefined])[],
  inputs: readonly (string | undefined)[],
): void {
  const read = new Set(inputs.flatMap((path) => placeOf(path) ?? []));
  for (const [option, path] of outputs) {
    const place = placeOf(path);
    if (place === undefined || !read.has(place)) continue;
    throw new UsageError(`${option} ${path}: this file is read by the same command, expected another name`);
  }
}

/** Where a file is, links followed; `undefined` when there is none. */
function placeOf(path: string | undefined): string | undefined {
  return path !== undefined && existsSync(path) ? realpathSync(path) : undefined;
}

/** The refusal to replace the file at `path`. */
export function existsError(path: string): OutputError {
  return new OutputError('is there already; --force replaces it', { file: path });
}
