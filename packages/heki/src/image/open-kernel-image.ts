import {
  type ByteReader,
  bzImagePayload,
  createByteReader,
  decompressLz4Legacy,
  fileOfTar,
  isBzImage,
  isDebianPackage,
  isElf,
  KernelImageError,
  loadedBytes,
  parseVmlinux,
  readVmlinuxRelocations,
  type Vmlinux,
} from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { readElfFile } from '../input/elf-file.ts';
import { fileChunks } from '../input/file-chunks.ts';
import { INPUT_KINDS } from '../input/input-kind.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { bytesText } from '../quantity.ts';
import { filesOfPackage } from './open-package.ts';
import { unpacked } from './unpack.ts';

/** The headers of any kernel are in the first bytes of its file. */
const START_BYTES = 2 ** 16;

/**
 * The kernel in the file at `path`: a vmlinux, a bzImage (vmlinuz), or a Debian package with one. What is neither its headers nor loaded, as
 * debug information and modules are, is read over.
 *
 * @throws {InputError} when it is none, damaged, or too large
 */
export async function openKernelImage(path: string): Promise<Vmlinux> {
  const file = createByteReader(fileChunks(path, INPUT_KINDS.kernelImage));
  try {
    const start = await file.peek(START_BYTES);
    if (isDebianPackage(start)) return await kernelOfPackage(file, path);
    const kernel = await kernelOf(file, path);
    return kernel.relocations === undefined ? withLinkersRelocations(kernel, path) : kernel;
  } catch (error) {
    if (!(error instanceof KernelImageError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  } finally {
    await file.close();
  }
}

/** A vmlinux that came out of no bzImage has what the linker left in it. */
function withLinkersRelocations(kernel: Vmlinux, path: string): Vmlinux {
  return { ...kernel, relocations: readElfFile(path, readVmlinuxRelocations) };
}

async function kernelOfPackage(file: ByteReader, path: string): Promise<Vmlinux> {
  const tar = await filesOfPackage(file, path);
  try {
    const kernel = await fileOfTar(tar, /^(?:\.\/)?(?:usr\/lib\/debug\/)?boot\/vmlinu[xz]-/);
    return await kernelOf(createByteReader(tar.part(kernel.size)), path);
  } finally {
    await tar.close();
  }
}

/** The kernel that comes next, which is a vmlinux or a bzImage. */
async function kernelOf(file: ByteReader, path: string): Promise<Vmlinux> {
  const start = await file.peek(START_BYTES);
  if (isElf(start)) return parseVmlinux(await kernelBytes(file, loadedBytes(start), path));
  if (!isBzImage(start)) {
    throw new InputError(
      'not a kernel image: expected vmlinux, a bzImage (vmlinuz), or a Debian package of a kernel',
      { file: path },
    );
  }
  const { compression, bytes, unpackedBytes } = bzImagePayload(await kernelBytes(file, undefined, path));
  const kernel = new Uint8Array(unpackedBytes);
  if (compression === 'lz4') decompressLz4Legacy(bytes, kernel);
  else await fill(kernel, unpacked(inOne(bytes), compression, path), path);
  if (isElf(kernel)) return parseVmlinux(kernel);
  throw new InputError('what its payload unpacks to is not a kernel: expected an ELF file', { file: path });
}

/** All bytes of a kernel; where they are too many, as with debug information, those that are loaded. @throws {InputError} when these are too many */
async function kernelBytes(file: ByteReader, loaded: number | undefined, path: string): Promise<Uint8Array> {
  const most = COMMAND_LIMITS.kernelBytes;
  if (loaded === undefined || loaded <= most) {
    const bytes = await file.take(most + 1);
    if (bytes.length <= most) return bytes;
    if (loaded !== undefined) return bytes.subarray(0, loaded);
  }
  throw new InputError(`the kernel has more than ${bytesText(most)}`, { file: path });
}

/** Fills `target` with what comes. @throws {InputError} when it is more or less */
async function fill(target: Uint8Array, chunks: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  let at = 0;
  for await (const chunk of chunks) {
    if (at + chunk.length > target.length) {
      throw new InputError(`unpacks to more than ${target.length} bytes`, { file: path });
    }
    target.set(chunk, at);
    at += chunk.length;
  }
  if (at < target.length) {
    throw new InputError(`unpacks to ${at} bytes: expected ${target.length}, as it says itself`, {
      file: path,
    });
  }
}

async function* inOne(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}
