import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ByteSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { ZSTD_MAGICS } from '../zstd-magics.ts';
import { checkUnpacked } from './check-unpacked.ts';
import { descriptorSource } from './descriptor-source.ts';
import { createTemporaryFile, type TemporaryFile } from './temporary-file.ts';

/** How to unpack a file that begins so: no library of the registry does it, or not as fast by far. */
interface Unpacker {
  readonly program: string;
  /** How its files begin, in Latin-1. */
  readonly magics: readonly string[];
  /** Unpacks standard input to standard output. */
  readonly options: string;
}

const UNPACKERS: readonly Unpacker[] = [
  { program: 'xz', magics: ['\xfd7zXZ\0'], options: '-dc' },
  { program: 'zstd', magics: ZSTD_MAGICS, options: '-dcq' },
];
const CHUNK_BYTES = 2 ** 16;
/** Of what a program says, its end is enough. */
const MOST_WORDS = 4096;

/** Whether it takes a program to unpack a file that begins with `start`, and which. */
export function unpackerOf(start: Uint8Array): Unpacker | undefined {
  const text = String.fromCharCode(...start.subarray(0, 6));
  return UNPACKERS.find(({ magics }) => magics.some((magic) => text.startsWith(magic)));
}

/**
 * What the file with this descriptor unpacks to, in a file without a name in TMPDIR, holes where it has zeros. The program writes to a
 * pipe and not to that file, so that it is stopped where too much comes out or the disk has no room.
 *
 * @param path its name, for errors
 * @param limit most bytes that may come out
 * @throws {VmcoreError} when there is no such program, it finds damage, more comes out, or there is no room
 */
export function unpackByProgram(
  path: string,
  packed: { readonly descriptor: number; readonly size: number },
  { program, options }: Unpacker,
  limit: number,
): ByteSource {
  // A shell without any other program, and a system without a shell, have none.
  if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) {
    throw new VmcoreError(
      `${path} is packed by ${program}, and there is no program ${program} here: install it, or unpack the file elsewhere`,
      { unread: true },
    );
  }
  const said = createTemporaryFile();
  try {
    const unpacked = spoolProgram(path, packed, `${program} ${options}`, said.descriptor, limit);
    const words = lastWords(said.descriptor);
    if (words.status === 0) return descriptorSource(path, unpacked.descriptor, unpacked.size);
    closeSync(unpacked.descriptor);
    // From 126 on a shell tells that the program did not run, or was ended: memory was short, say.
    const unread = !(words.status < 126);
    throw new VmcoreError(`${path} cannot be unpacked: ${words.why}`, { unread });
  } finally {
    closeSync(said.descriptor);
  }
}

/** What `program` makes of the file, in a file for the caller to close. It says to `said` what is wrong, and in the last line its exit code. */
function spoolProgram(
  path: string,
  packed: { readonly descriptor: number; readonly size: number },
  program: string,
  said: number,
  limit: number,
): TemporaryFile {
  const pipe = startProgram(program, packed.descriptor, said);
  try {
    const spool = createTemporaryFile();
    try {
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (let length = readSync(pipe, chunk); length > 0; length = readSync(pipe, chunk)) {
        checkUnpacked(path, spool.size + length, packed.size, limit);
        spool.append(chunk.subarray(0, length));
      }
      spool.finish();
      return spool;
    } catch (error) {
      closeSync(spool.descriptor);
      throw error;
    }
  } finally {
    // The program ends with its reader.
    closeSync(pipe);
  }
}

/** Starts `program` between the file `packed` and a pipe, and answers with the end of that pipe to read from, for the caller to close. */
function startProgram(program: string, packed: number, said: number): number {
  let folder: string | undefined;
  try {
    folder = mkdtempSync(join(tmpdir(), 'heki-'));
    const pipe = join(folder, 'pipe');
    const made = spawnSync('sh', ['-c', 'mkfifo "$0"', pipe], { encoding: 'utf8' });
    if (made.status !== 0) throw made.error ?? new Error(made.stderr.trim());
    const child = spawn('sh', ['-c', `exec > "$0"; ${program}; echo "exit $?" >&2`, pipe], {
      stdio: [packed, 'ignore', said],
      env: { ...process.env, LC_ALL: 'C' },
    });
    child.unref();
    // Told below: this event comes when all is over.
    child.on('error', () => {});
    if (child.pid === undefined) throw new Error('no process can be started');
    // Both ends open together; then nobody needs its name any more.
    return openSync(pipe, 'r');
  } catch (cause) {
    throw new VmcoreError(`no pipe in ${tmpdir()} (TMPDIR): ${(cause as Error).message}`, { unread: true });
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

/** The exit code of the program, and what it said first of what it said in the end. */
function lastWords(said: number): { readonly status: number; readonly why: string } {
  const words = Buffer.alloc(MOST_WORDS);
  const text = words.toString('utf8', 0, readSync(said, words, 0, MOST_WORDS, 0)).trim();
  const lines = text.split('\n');
  const status = /^exit (\d+)$/.exec(lines.at(-1) ?? '')?.[1];
  const [why = ''] = lines;
  return { status: status === undefined ? Number.NaN : Number(status), why: why.slice(0, 200) };
}
