import { readVmcore, type Vmcore, type VmcoreOptions } from '../vmcore.ts';
import { openSource } from './file-source.ts';

/** How a file is opened. */
export interface OpenOptions extends VmcoreOptions {
  /** Most bytes that a gzip file may inflate to. Default 2^36, 64 GiB. From 64 MiB on they go to a temporary file. */
  readonly maxInflatedBytes?: number;
}

/**
 * Opens a dump of an x86-64 guest, plain or gzip, as {@link readVmcore} reads it. Of a plain file only headers and notes are
 * read at once, and pages when they are asked for.
 *
 * @throws {VmcoreError} when the file cannot be read or is no such dump, with the offset of what is wrong
 */
export function openVmcore(path: string, options: OpenOptions = {}): Vmcore {
  const source = openSource(path, options.maxInflatedBytes ?? 2 ** 36);
  try {
    return readVmcore(source, options);
  } catch (error) {
    source.close();
    throw error;
  }
}
