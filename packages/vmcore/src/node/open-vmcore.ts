import { existsSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { DUMP_LIMITS } from '../limits.ts';
import { readVmcore, type Vmcore, type VmcoreOptions } from '../vmcore.ts';
import { openSource } from './file-source.ts';
import { inflate } from './inflate.ts';
import { readLiveGdb } from './live/live-gdb.ts';
import { readLiveQemu } from './live/live-qemu.ts';
import { isWebAddress, webAddressesOf } from './web/web-address.ts';

/** How a file is opened. */
export interface OpenOptions extends VmcoreOptions {
  /** Most bytes that a packed file may unpack to. Default 2^36, 64 GiB. From 64 MiB on they go to a temporary file. */
  readonly maxInflatedBytes?: number;
  /**
   * Whether a guest that runs goes on while its page tables are read, where that can be: by QMP, of one whose RAM is in a file. They are of several
   * moments then, and what they tell may never have been so at once. Default: it stands.
   */
  readonly whileItRuns?: boolean | undefined;
}

/**
 * Opens a dump of an x86-64 guest, plain or packed by gzip, zstd or xz, as {@link readVmcore} reads it. Of a plain file only headers and notes are
 * read at once, and pages when they are asked for.
 *
 * @param path `qmp:PATH` for a guest that runs, by QEMU's QMP socket (`readLiveQemu`); `gdb:HOST:PORT` or `gdb:PATH` for one by QEMU's gdb stub (`readLiveGdb`); `https://HOST/PATH` for a file on a web server that gives parts of files; `s3://BUCKET/KEY` for an object in S3, or a store like it; else its file: the parts of a dump that was split are joined by commas
 * @throws {VmcoreError} when a file cannot be read or is not such a dump, with the offset of what is wrong
 */
export function openVmcore(path: string, options: OpenOptions = {}): Vmcore {
  const [, protocol, socket = ''] = LIVE.exec(path) ?? [];
  if (protocol?.toLowerCase() === 'qmp') return readLiveQemu(socket, options);
  if (protocol !== undefined) return readLiveGdb(socket, options);
  const sources = openSources(path, options);
  try {
    return readVmcore(sources, { inflate, ...options });
  } catch (error) {
    for (const source of sources) source.close();
    throw error;
  }
}

/**
 * The bytes of a dump, unpacked: of each of its parts.
 *
 * @param path as of {@link openVmcore}, of a file
 * @throws {VmcoreError} when one cannot be read
 */
export function openSources(
  path: string,
  { maxInflatedBytes = DUMP_LIMITS.unpackedBytes }: Pick<OpenOptions, 'maxInflatedBytes'> = {},
): ByteSource[] {
  const sources: ByteSource[] = [];
  try {
    for (const part of partsOf(path)) sources.push(openSource(part, maxInflatedBytes));
    return sources;
  } catch (error) {
    for (const source of sources) source.close();
    throw error;
  }
}

/** Whether `path` names a guest that runs. */
export function isLiveGuest(path: string): boolean {
  return LIVE.test(path);
}

const LIVE = /^(qmp|gdb):(.+)$/is;

/** A file whose name has a comma is a file. */
function partsOf(path: string): string[] {
  if (isWebAddress(path)) return webAddressesOf(path);
  return path.includes(',') && !existsSync(path) ? path.split(',') : [path];
}
