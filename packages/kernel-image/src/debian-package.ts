import type { ByteReader } from './byte-reader.ts';
import { KernelImageError } from './error.ts';

const AR_MAGIC = '!<arch>\n';
const AR_HEADER = 60;
const TAR_BLOCK = 512;
/** A package of a kernel with all its modules has some ten thousand files. */
const MOST_FILES = 2 ** 20;

/** Whether a file that begins with `bytes` is a Debian package, or another archive of ar(1). */
export function isDebianPackage(bytes: Uint8Array): boolean {
  return text(bytes, 0, 8) === AR_MAGIC;
}

/**
 * Reads a Debian package up to the member that holds its files, `data.tar.xz` or packed otherwise (deb(5)).
 *
 * @returns the name of that member and its size in bytes, which come next from `file`
 * @throws {KernelImageError} when it has none
 */
export async function packageData(
  file: ByteReader,
): Promise<{ readonly name: string; readonly size: number }> {
  await file.skip(AR_MAGIC.length);
  for (let at = AR_MAGIC.length; ; ) {
    const header = await file.take(AR_HEADER);
    if (header.length < AR_HEADER) break;
    const name = text(header, 0, 16).trimEnd().replace(/\/$/, '');
    const digits = text(header, 48, 10).trim();
    const size = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
    if (size >= 0 && name.startsWith('data.tar')) return { name, size };
    // Members begin at even offsets.
    if (!(size >= 0 && (await file.skip(size + (size % 2))))) {
      throw new KernelImageError(
        `the package is cut short: its member ${JSON.stringify(name)} does not end`,
        { offset: at },
      );
    }
    at += AR_HEADER + size + (size % 2);
  }
  throw new KernelImageError('the package has no data.tar: it is no Debian package');
}

/** A file of an archive, whose bytes come next from it. */
export interface TarFile {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
}

/**
 * Reads a tar archive up to the first file whose path matches `path`.
 *
 * @returns its name and its size in bytes, which come next from `tar`
 * @throws {KernelImageError} when there is none
 */
export async function fileOfTar(tar: ByteReader, path: RegExp): Promise<TarFile> {
  for await (const file of filesOfTar(tar, path)) return file;
  throw new KernelImageError(
    'the package holds no kernel: expected boot/vmlinuz-*, as linux-image-* packages have it',
  );
}

/**
 * The files of a tar archive whose paths match `path`, as they come. Who goes on to the next has read all bytes of the one before.
 *
 * @throws {KernelImageError} when a file of it has no size
 */
export async function* filesOfTar(tar: ByteReader, path: RegExp): AsyncGenerator<TarFile, void> {
  for (let at = 0, file = 0; file < MOST_FILES; file++) {
    const header = await tar.take(TAR_BLOCK);
    // Blocks of zeros stand at the end.
    if (header.length < TAR_BLOCK || header[0] === 0) return;
    const prefix = cText(header, 345, 155);
    const name = `${prefix === '' ? '' : `${prefix}/`}${cText(header, 0, 100)}`;
    const size = Number.parseInt(cText(header, 124, 12).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0)
      throw new KernelImageError('a file of the archive has no size', { offset: at });
    const type = header[156] ?? 0;
    const isFile = type === 0 || type === 0x30;
    const blocks = Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
    const isWanted = isFile && path.test(name);
    if (isWanted) yield { name, size };
    if (!(await tar.skip(isWanted ? blocks - size : blocks))) return;
    at += TAR_BLOCK + blocks;
  }
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

function cText(bytes: Uint8Array, at: number, length: number): string {
  const whole = text(bytes, at, length);
  const end = whole.indexOf('\0');
  return end < 0 ? whole : whole.slice(0, end);
}
