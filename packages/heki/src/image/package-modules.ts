import { createByteReader, filesOfTar, isDebianPackage, KernelImageError } from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { fileChunks } from '../input/file-chunks.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { bytesText } from '../quantity.ts';
import { filesOfPackage } from './open-package.ts';
import { unpacked } from './unpack.ts';

/** How a module's file is packed, by the end of its name. */
const PACKED = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' } as const;
/** Bytes of a module: the largest of Debian's has 20 MB. */
const LARGEST_MODULE = 2 ** 27;
const START_BYTES = 64;

/**
 * The files of modules in the Debian package at `path`, by the modules' names; none where it is no package.
 *
 * @param names those that are wanted
 * @throws {InputError} when it is damaged
 */
export async function modulesOfPackage(
  path: string,
  names: ReadonlySet<string>,
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const file = createByteReader(fileChunks(path, INPUT_KINDS.kernelImage));
  try {
    if (names.size === 0 || !isDebianPackage(await file.peek(START_BYTES))) return found;
    const tar = await filesOfPackage(file, path);
    try {
      for await (const { name, size } of filesOfTar(tar, /\/lib\/modules\/.+\.ko(\.xz|\.zst|\.gz)?$/)) {
        const [, base = '', packing = ''] = /([^/]+)\.ko(\.\w+)?$/.exec(name) ?? [];
        // The kernel has no hyphens in names.
        const module = base.replaceAll('-', '_');
        if (!names.has(module) || size > LARGEST_MODULE) {
          await tar.skip(size);
          continue;
        }
        const bytes = await tar.take(size);
        const compression = PACKED[packing as keyof typeof PACKED];
        found.set(
          module,
          compression === undefined ? bytes : await bounded(unpacked(inOne(bytes), compression, path), path),
        );
        if (found.size === names.size) break;
      }
    } finally {
      await tar.close();
    }
  } catch (error) {
    if (!(error instanceof KernelImageError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  } finally {
    await file.close();
  }
  return found;
}

async function bounded(chunks: AsyncIterable<Uint8Array>, path: string): Promise<Uint8Array> {
  const reader = createByteReader(chunks);
  const bytes = await reader.take(LARGEST_MODULE + 1);
  await reader.close();
  if (bytes.length <= LARGEST_MODULE) return bytes;
  throw new InputError(`a module of it unpacks to more than ${bytesText(LARGEST_MODULE)}`, { file: path });
}

async function* inOne(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}
