import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type ByteSource, bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { hasText } from '../formats/dump-format.ts';
import { descriptorSource, type FileSource } from './open-file.ts';

/** A program by which files are packed. */
export type Packing = 'gzip' | 'zstd' | 'xz';

const MAGICS: readonly (readonly [Packing, string])[] = [
  ['gzip', '\x1f\x8b'],
  ['zstd', '\x28\xb5\x2f\xfd'],
  ['xz', '\xfd7zXZ\0'],
];
/** What is unpacked in memory: the page tables of any kernel, but no dump. */
const MOST_IN_MEMORY = 2 ** 26;
/** A packed file that is larger is not tried in memory. */
const MOST_PACKED_IN_MEMORY = 2 ** 22;

/** How a file that begins with `start` was packed. */
export function packingOf(start: Uint8Array): Packing | undefined {
  return MAGICS.find(([, magic]) => hasText(start, magic))?.[0];
}

/**
 * What `file` unpacks to: in memory when it is small, else in a file under TMPDIR that has no name, so that it goes with the process.
 * Runs of zeroes take no place there. zstd, where Node does not have it, and xz are unpacked by the programs of these names.
 *
 * @throws {VmcoreError} when it is damaged, when there is no room or no program, or when it is more than `limit` bytes
 */
export function unpack(path: string, file: FileSource, packing: Packing, limit: number): ByteSource {
  if (packing === 'gzip' && file.size <= MOST_PACKED_IN_MEMORY) {
    const inflated = gunzipInMemory(path, file, Math.min(limit, MOST_IN_MEMORY));
    if (inflated !== undefined) return bytesSource(inflated);
    if (limit <= MOST_IN_MEMORY) throw tooLarge(path, limit);
  }
  return unpackToFile(path, file, packing, limit);
}

/** `undefined` when it is more than `limit` bytes. */
function gunzipInMemory(path: string, file: FileSource, limit: number): Uint8Array | undefined {
  const packed = new Uint8Array(file.size);
  file.read(0, packed);
  try {
    return gunzipSync(packed, { maxOutputLength: limit });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw new VmcoreError(`${path} is a damaged gzip file: ${(cause as Error).message}`, { cause });
  }
}

function tooLarge(path: string, limit: number): VmcoreError {
  return new VmcoreError(`${path} unpacks to more than ${limit} bytes`);
}

/**
 * Runs in a process of its own, because Node unpacks streams only while it waits: reads descriptor 3, writes descriptor 4. What it
 * says on standard error is why it ended with another code than 0.
 */
const PROGRAM = `
const fs = require('node:fs');
const zlib = require('node:zlib');
const [packing, limit, folder] = process.argv.slice(1);
const MARGIN = 2 ** 28, BLOCK = 65536, zeroes = Buffer.alloc(BLOCK);
const fail = (text) => { fs.writeSync(2, text); process.exit(1); };
let input = fs.createReadStream('', { fd: 3, start: 0, highWaterMark: 1 << 20 });
if (packing === 'gzip') input = input.pipe(zlib.createGunzip()).on('error', (e) => fail('damaged:' + e.message));
else if (packing === 'zstd' && zlib.createZstdDecompress) input = input.pipe(zlib.createZstdDecompress()).on('error', (e) => fail('damaged:' + e.message));
else {
  const child = require('node:child_process').spawn(packing, ['-dc'], { stdio: [3, 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => { said += data; });
  child.on('error', (e) => fail(e.code === 'ENOENT' ? 'program' : 'damaged:' + e.message));
  child.on('close', (code) => { if (code === 0) done(); else fail('damaged:' + said.trim().split('\\n')[0]); });
  input = child.stdout;
}
let at = 0, rest = Buffer.alloc(0), checked = 0;
const write = (block) => {
  if (at + block.length > Number(limit)) fail('limit');
  if (at >= checked) {
    const { bavail, bsize } = fs.statfsSync(folder);
    if (bavail * bsize < MARGIN) fail('room');
    checked = at + MARGIN / 4;
  }
  if (!block.equals(zeroes.subarray(0, block.length)))
    for (let n = 0; n < block.length; ) n += fs.writeSync(4, block, n, block.length - n, at + n);
  at += block.length;
};
const done = () => { write(rest); fs.ftruncateSync(4, at); process.exit(0); };
input.on('data', (data) => {
  rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
  let from = 0;
  for (; from + BLOCK <= rest.length; from += BLOCK) write(rest.subarray(from, from + BLOCK));
  rest = rest.subarray(from);
});
if (packing === 'gzip' || zlib.createZstdDecompress && packing === 'zstd') input.on('end', done);
`;

function unpackToFile(path: string, file: FileSource, packing: Packing, limit: number): ByteSource {
  const folder = tmpdir();
  const temporary = join(folder, `heki-${randomBytes(8).toString('hex')}`);
  let descriptor: number;
  try {
    descriptor = openSync(temporary, 'wx+', 0o600);
    unlinkSync(temporary);
  } catch (cause) {
    throw new VmcoreError(
      `${path} is unpacked into ${folder}, where no file can be made: ${(cause as Error).message}`,
      { cause },
    );
  }
  const { status, stderr, error } = spawnSync(
    process.execPath,
    ['-e', PROGRAM, packing, String(limit), folder],
    { stdio: ['ignore', 'ignore', 'pipe', file.descriptor, descriptor], encoding: 'utf8' },
  );
  if (status === 0) return descriptorSource(path, descriptor, fstatSync(descriptor).size);
  closeSync(descriptor);
  if (stderr === 'limit') throw tooLarge(path, limit);
  if (stderr === 'room') {
    throw new VmcoreError(
      `${path}: no room in ${folder} for what it unpacks to: set TMPDIR to a folder on a larger disk`,
    );
  }
  if (stderr === 'program') {
    throw new VmcoreError(
      `${path} is packed by ${packing}, and there is no program ${packing}: install it, or unpack the file first`,
    );
  }
  const why = stderr.startsWith('damaged:') ? stderr.slice('damaged:'.length) : (error?.message ?? stderr);
  throw new VmcoreError(`${path} is a damaged ${packing} file: ${why.split('\n')[0]}`);
}
