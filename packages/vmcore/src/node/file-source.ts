import type { ByteSource } from '../byte-source.ts';
import { openFile } from './open-file.ts';
import { packingOf, unpack } from './unpack.ts';

/**
 * A file as a source: a plain one is read by position and never loaded; one that gzip, zstd or xz packed is unpacked first.
 *
 * @throws {VmcoreError} when the file cannot be opened, is damaged, or unpacks to more than `maxUnpackedBytes`
 */
export function openSource(path: string, maxUnpackedBytes: number): ByteSource {
  const file = openFile(path);
  try {
    const start = new Uint8Array(Math.min(6, file.size));
    file.read(0, start);
    const packing = packingOf(start);
    if (packing === undefined) return file;
    const unpacked = unpack(path, file, packing, maxUnpackedBytes);
    file.close();
    return unpacked;
  } catch (error) {
    file.close();
    throw error;
  }
}
