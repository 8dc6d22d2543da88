import { randomBytes } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { InputError } from './failure.ts';

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
 * @throws {InputError} when one is there and may not; the file system's own error when one cannot be written
 */
export async function writeFiles(files: readonly OutputFile[], overwrite: boolean): Promise<void> {
  const written: { readonly temporary: string; readonly path: string }[] = [];
  try {
    for (const { path, chunks } of files) {
      const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
      const file = await open(temporary, 'wx').catch((error: unknown) => {
        // The name beside it is no concern of the user's.
        throw error instanceof Error ? Object.assign(error, { path }) : error;
      });
      written.push({ temporary, path });
      try {
        for await (const chunk of chunks) await file.write(chunk);
      } finally {
        await file.close();
      }
    }
    for (const { temporary, path } of written) await takeName(temporary, path, overwrite);
  } finally {
    for (const { temporary } of written) await rm(temporary, { force: true });
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

/** The refusal to replace the file at `path`. */
export function existsError(path: string): InputError {
  return new InputError(`${path}: is there already; --force replaces it`);
}
