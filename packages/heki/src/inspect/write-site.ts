import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputError } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';
import { writeFiles } from '../output-file.ts';

/**
 * Writes the inspector as a web site.
 *
 * @param folder a new one
 * @throws {OutputError} when it is there, or cannot be written
 */
export async function writeSite(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const why =
      error instanceof Error && 'code' in error && error.code === 'EEXIST'
        ? 'is there already: expected a new folder'
        : fileErrorText(error);
    throw new OutputError(why ?? String(error), { file: folder }, error);
  }
  await writeFiles(
    [...files].map(([name, bytes]) => ({ path: join(folder, name), chunks: [bytes] })),
    false,
  );
}
