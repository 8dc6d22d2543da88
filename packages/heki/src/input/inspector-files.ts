import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InputError } from '../failure.ts';

/** Beside the manifest: the inspector as it is built. */
const FOLDER = join(dirname(createRequire(import.meta.url).resolve('heki/package.json')), 'inspector');

/**
 * The files of the inspector by their names.
 *
 * @throws {InputError} when they are not there
 */
export async function readInspectorFiles(folder: string = FOLDER): Promise<Map<string, Uint8Array>> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new InputError(
      'the inspector that comes with heki is not built: npm start builds it',
      { file: folder },
      cause,
    );
  });
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
}
