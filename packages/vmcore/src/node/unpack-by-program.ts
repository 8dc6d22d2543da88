import { spawnSync } from 'node:child_process';
import { fstatSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { descriptorSource } from './descriptor-source.ts';
import { createTemporaryFile } from './temporary-file.ts';

/** How to unpack a file that begins with `magic`: no library of the registry does it, or not as fast by far. */
interface Unpacker {
  readonly program: string;
  /** In Latin-1. */
  readonly magic: string;
  /** Unpacks standard input to standard output; where that is a file, zeroes become holes. */
  readonly options: string;
}

const UNPACKERS: readonly Unpacker[] = [
  { program: 'xz', magic: '\xfd7zXZ\0', options: '-dc' },
  { program: 'zstd', magic: '\x28\xb5\x2f\xfd', options: '-dcq --sparse' },
];
/** A shell's unit of file sizes (POSIX, ulimit -f). */
const UNIT = 512;
const NO_PROGRAM = 127;

/** Whether it takes a program to unpack a file that begins with `start`, and which. */
export function unpackerOf(start: Uint8Array): Unpacker | undefined {
  const text = String.fromCharCode(...start.subarray(0, 6));
  return UNPACKERS.find(({ magic }) => text.startsWith(magic));
}

/**
 * What the file with this descriptor unpacks to, in a file without a name in TMPDIR.
 *
 * @param path its name, for errors
 * @param limit most bytes that may come out
 * @throws {VmcoreError} when there is no such program, it finds damage, more comes out, or there is no room
 */
export function unpackByProgram(
  path: string,
  packed: number,
  { program, options }: Unpacker,
  limit: number,
): ByteSource {
  const { descriptor } = createTemporaryFile();
  const { status, signal, stderr } = spawnSync(
    'sh',
    ['-c', `ulimit -f ${Math.ceil(limit / UNIT)}; exec ${program} ${options}`],
    { stdio: [packed, descriptor, 'pipe'], encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } },
  );
  const { size } = fstatSync(descriptor);
  const unpacked = descriptorSource(path, descriptor, size);
  if (status === 0 && size <= limit) return unpacked;
  unpacked.close();
  if (status === NO_PROGRAM) {
    throw new VmcoreError(
      `${path} is packed by ${program}, and there is no program ${program} here: install it, or unpack the file elsewhere`,
    );
  }
  const [why = ''] = (stderr ?? '').trim().split('\n');
  // A program that catches the signal reports EFBIG.
  const full = size > limit || signal === 'SIGXFSZ' || why.endsWith('File too large');
  throw new VmcoreError(
    full ? `${path} unpacks to more than ${limit} bytes` : `${path} cannot be unpacked: ${why.slice(0, 200)}`,
  );
}
