import {
  bzImagePayload,
  fileOfTar,
  isBzImage,
  isDebianPackage,
  isElf,
  KernelImageError,
  packageData,
  parseVmlinux,
  type Vmlinux,
} from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { readBytes } from '../input/read-bytes.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { unpack } from './unpack.ts';

/** A file of files of a Debian package, by how it is packed. */
const PACKED_DATA = [
  ['data.tar.xz', 'xz'],
  ['data.tar.zst', 'zstd'],
  ['data.tar.gz', 'gzip'],
] as const;

/**
 * The kernel in the file at `path`: a vmlinux, a bzImage (vmlinuz), or a Debian package with one.
 *
 * @throws {InputError} when it is not an image, damaged, or too large
 */
export async function openKernelImage(path: string): Promise<Vmlinux> {
  const bytes = await readBytes(path, INPUT_KINDS.kernelImage);
  try {
    return parseVmlinux(vmlinuxOf(bytes, path));
  } catch (error) {
    if (!(error instanceof KernelImageError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  }
}

function vmlinuxOf(bytes: Uint8Array, path: string): Uint8Array {
  if (isElf(bytes)) return bytes;
  if (isBzImage(bytes)) {
    const { compression, bytes: packed, unpackedBytes } = bzImagePayload(bytes);
    const kernel = unpack(packed, compression, unpackedBytes, path);
    if (isElf(kernel)) return kernel;
    throw new InputError('what its payload unpacks to is not a kernel: expected an ELF file', { file: path });
  }
  if (isDebianPackage(bytes)) {
    const { name, bytes: packed } = packageData(bytes);
    const compression = PACKED_DATA.find(([data]) => data === name)?.[1];
    const tar =
      compression === undefined
        ? packed
        : unpack(packed, compression, COMMAND_LIMITS.unpackedPackageBytes, path);
    return vmlinuxOf(fileOfTar(tar, /^(?:\.\/)?(?:usr\/lib\/debug\/)?boot\/vmlinu[xz]-/).bytes, path);
  }
  throw new InputError(
    'not a kernel image: expected vmlinux, a bzImage (vmlinuz), or a Debian package of a kernel',
    {
      file: path,
    },
  );
}
