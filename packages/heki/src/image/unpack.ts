import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import { type Compression, decompressLz4Legacy } from '@heki/kernel-image';
import { InputError } from '../failure.ts';

/** Programs, for what no library of the registry unpacks, or not as fast by far. */
const PROGRAMS = { xz: ['xz', '-dc'], zstd: ['zstd', '-dcq'] } as const;

/**
 * What `bytes` unpack to.
 *
 * @param most bytes that may come out
 * @param file for errors
 * @throws {InputError} when they are damaged, more comes out, or the program that it takes is not here
 */
export function unpack(bytes: Uint8Array, compression: Compression, most: number, file: string): Uint8Array {
  switch (compression) {
    case 'lz4': {
      // The payload of a bzImage says how long it is, to the byte.
      const target = new Uint8Array(most);
      decompressLz4Legacy(bytes, target);
      return target;
    }
    case 'gzip':
      return gunzipSync(bytes, { maxOutputLength: most });
    case 'xz':
    case 'zstd':
      return byProgram(bytes, PROGRAMS[compression], most, file);
  }
}

function byProgram(
  bytes: Uint8Array,
  [program, options]: readonly [program: string, options: string],
  most: number,
  file: string,
): Uint8Array {
  const { stdout, stderr, status, error } = spawnSync(program, [options], {
    input: bytes,
    maxBuffer: most,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    throw new InputError(
      `packed by ${program}, and there is no program ${program} here: install it, or unpack the file elsewhere`,
      { file },
    );
  }
  if (error !== undefined && 'code' in error && error.code === 'ENOBUFS') {
    throw new InputError(`unpacks to more than ${most} bytes`, { file });
  }
  if (status !== 0) {
    const [why = ''] = String(stderr).trim().split('\n');
    throw new InputError(`cannot be unpacked by ${program}: ${why.slice(0, 200)}`, { file });
  }
  return stdout;
}
