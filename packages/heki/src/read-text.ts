import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { InputError } from './failure.ts';

/** No text file that the command reads is larger: a full kernel configuration has 250 KiB. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The text of the file at `path`, unpacked if it is gzip (as /proc/config.gz is).
 *
 * @throws {InputError} when it is larger than 16 MiB or no valid gzip; the file system's own error when it cannot be read
 */
export async function readText(path: string): Promise<string> {
  const file = await open(path, 'r');
  let bytes: Buffer;
  try {
    // Not by stat: /proc/iomem and /proc/config.gz have size 0.
    const buffer = Buffer.alloc(MAX_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > MAX_BYTES) throw tooLarge(path);
    bytes = buffer.subarray(0, length);
  } catch (error) {
    throw error instanceof Error && !('path' in error) ? Object.assign(error, { path }) : error;
  } finally {
    await file.close();
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString('utf8');
  try {
    return (await promisify(gunzip)(bytes, { maxOutputLength: MAX_BYTES })).toString('utf8');
  } catch (error) {
    if (error instanceof RangeError) throw tooLarge(path);
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError(`not a valid gzip file (${why})`, { file: path }, error);
  }
}

function tooLarge(path: string): InputError {
  return new InputError(`larger than ${MAX_BYTES / 1024 / 1024} MiB: not the text file that was expected`, {
    file: path,
  });
}
