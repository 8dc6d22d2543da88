import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { type FileByPosition, isElf, KernelImageError } from '@heki/kernel-image';
import { InputError } from '../failure.ts';
import { bytesText } from '../quantity.ts';
import { tooLarge } from './file-chunks.ts';
import { INPUT_KINDS } from './input-kind.ts';

const START_BYTES = 128;

/**
 * What `read` makes of the file at `path` as an ELF file that is read by position: with debug information a vmlinux has a gigabyte, and its tables lie at the end.
 *
 * @returns `undefined` when it is a pipe, or no ELF file
 * @throws {InputError} when it is damaged or too large; the file system's own error when it cannot be read
 */
export function readElfFile<Result>(
  path: string,
  read: (file: FileByPosition) => Result,
): Result | undefined {
  if (path === '-') return undefined;
  const descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) return undefined;
    const file = {
      size: stats.size,
      read(offset: number, length: number): Uint8Array {
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const count = readSync(descriptor, bytes, done, length - done, offset + done);
          if (count === 0) throw new KernelImageError('the file was cut short while it was read', { offset });
          done += count;
        }
        return bytes;
      },
    };
    if (!isElf(file.read(0, Math.min(START_BYTES, file.size)))) return undefined;
    if (file.size > INPUT_KINDS.kernelImage.mostBytes) {
      throw tooLarge(path, INPUT_KINDS.kernelImage, bytesText(file.size));
    }
    return read(file);
  } catch (error) {
    if (error instanceof KernelImageError) throw new InputError(error.message, { file: path }, error);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}
