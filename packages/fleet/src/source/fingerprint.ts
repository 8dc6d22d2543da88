import { createHash, type Hash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { FleetError } from '../error.ts';

/** Bytes at the beginning and at the end of a file that are looked at: a dump may have hundreds of GiB. */
const LOOKED_AT = 2 ** 16;

/**
 * What changes when a file does: of each its size, when it was written, and its first and last 64 KiB. A file that is written in its
 * middle, in place, and given its old time back, is not told from the one that it was.
 *
 * @param files the parts of a dump, and what stands beside it: where a file is not there, that counts, too
 * @throws the file system's own error when the first of them cannot be read
 */
export async function fileFingerprint(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const [index, file] of files.entries()) await addFile(hash, file, index === 0);
  return hash.digest('hex').slice(0, 32);
}

async function addFile(hash: Hash, file: string, mustExist: boolean): Promise<void> {
  try {
    // Opening a named pipe would wait for whoever writes to it.
    if (!(await stat(file)).isFile()) throw new FleetError('is no regular file', { place: { file } });
  } catch (error) {
    if (mustExist || !(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    hash.update('none\n');
    return;
  }
  const handle = await open(file, 'r');
  try {
    const { size, mtimeNs } = await handle.stat({ bigint: true });
    hash.update(`${size} ${mtimeNs}\n`);
    const buffer = Buffer.alloc(LOOKED_AT);
    for (const at of size > LOOKED_AT ? [0, Number(size) - LOOKED_AT] : [0]) {
      const { bytesRead } = await handle.read(buffer, 0, LOOKED_AT, at);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
