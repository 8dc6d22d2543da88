import { type ByteReader, createByteReader, packageData } from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { bytesText } from '../quantity.ts';
import { unpacked } from './unpack.ts';

/** A file of files of a Debian package, by how it is packed. */
const PACKED_DATA = [
  ['data.tar.xz', 'xz'],
  ['data.tar.zst', 'zstd'],
  ['data.tar.gz', 'gzip'],
] as const;
/** The tar archive with the files of the Debian package that `file` reads, unpacked as it is read. @throws {KernelImageError} when it has none */
export async function filesOfPackage(file: ByteReader, path: string): Promise<ByteReader> {
  const { name, size } = await packageData(file);
  const compression = PACKED_DATA.find(([data]) => data === name)?.[1];
  const packed = file.part(size);
  return createByteReader(
    compression === undefined ? packed : withoutBomb(unpacked(packed, compression, path), size, path),
  );
}

/** What comes out of `packed` bytes, as long as it is no more than packages have. */
async function* withoutBomb(
  chunks: AsyncIterable<Uint8Array>,
  packed: number,
  path: string,
): AsyncGenerator<Uint8Array, void> {
  const most = Math.max(COMMAND_LIMITS.packageBytes, packed * COMMAND_LIMITS.packageInflation);
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > most) {
      throw new InputError(
        `its files unpack to more than ${bytesText(most)}, ${COMMAND_LIMITS.packageInflation} times their size: a bomb, no package`,
        { file: path },
      );
    }
    yield chunk;
  }
}
