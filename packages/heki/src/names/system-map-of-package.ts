import { statSync } from 'node:fs';
import {
  type ByteReader,
  createByteReader,
  filesOfTar,
  isDebianPackage,
  KernelImageError,
} from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { filesOfPackage } from '../image/open-package.ts';
import { fileChunks } from '../input/file-chunks.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { bytesText } from '../quantity.ts';

/** In the package of a kernel Debian puts a stub, and the map of which it tells into linux-image-*-dbg. */
const SYSTEM_MAP = /^(?:\.\/)?(?:usr\/lib\/debug\/)?boot\/System\.map-/;
const MAGIC_BYTES = 8;

/**
 * The text of the System.map in the Debian package at `path`, which is unpacked no further than that.
 *
 * @returns `undefined` when the file is no such package
 * @throws {InputError} when it has none, is damaged, or too large
 */
export async function systemMapOfPackage(path: string): Promise<string | undefined> {
  // What was read of a pipe would be lost to who reads it next.
  if (path === '-' || !statSync(path).isFile()) return undefined;
  const file = createByteReader(fileChunks(path, INPUT_KINDS.kernelImage));
  try {
    return isDebianPackage(await file.peek(MAGIC_BYTES)) ? await systemMapOf(file, path) : undefined;
  } catch (error) {
    if (!(error instanceof KernelImageError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  } finally {
    await file.close();
  }
}

async function systemMapOf(file: ByteReader, path: string): Promise<string> {
  const { mostBytes } = INPUT_KINDS.kernelSymbols;
  const tar = await filesOfPackage(file, path);
  try {
    for await (const { size } of filesOfTar(tar, SYSTEM_MAP)) {
      const bytes = await tar.take(Math.min(size, mostBytes + 1));
      if (bytes.length <= mostBytes) return new TextDecoder('latin1').decode(bytes);
      throw new InputError(`its System.map has more than ${bytesText(mostBytes)}`, { file: path });
    }
  } finally {
    await tar.close();
  }
  throw new InputError('the package has no System.map: expected linux-image-*-dbg', { file: path });
}
