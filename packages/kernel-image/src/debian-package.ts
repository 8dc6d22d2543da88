import { KernelImageError } from './error.ts';

const AR_MAGIC = '!<arch>\n';
const AR_HEADER = 60;
const TAR_BLOCK = 512;
/** A package of a kernel with all its modules has some ten thousand files. */
const MOST_FILES = 2 ** 20;

/** Whether a file is a Debian package, or another archive of ar(1). */
export function isDebianPackage(bytes: Uint8Array): boolean {
  return text(bytes, 0, 8) === AR_MAGIC;
}

/** The member of a Debian package that holds its files, `data.tar.xz` or packed otherwise (deb(5)). @throws {KernelImageError} when it has none */
export function packageData(bytes: Uint8Array): { readonly name: string; readonly bytes: Uint8Array } {
  for (let at = AR_MAGIC.length; at + AR_HEADER <= bytes.length; ) {
    const name = text(bytes, at, 16).trimEnd().replace(/\/$/, '');
    const size = Number(text(bytes, at + 48, 10).trim());
    if (!Number.isSafeInteger(size) || size < 0 || at + AR_HEADER + size > bytes.length) {
      throw new KernelImageError(
        `the package is cut short: its member ${JSON.stringify(name)} does not end`,
        { offset: at },
      );
    }
    const start = at + AR_HEADER;
    if (name.startsWith('data.tar')) return { name, bytes: bytes.subarray(start, start + size) };
    // Members begin at even offsets.
    at = start + size + (size % 2);
  }
  throw new KernelImageError('the package has no data.tar: it is not a Debian package');
}

/** The first file of a tar archive whose path matches `path`. @throws {KernelImageError} when there is none */
export function fileOfTar(
  tar: Uint8Array,
  path: RegExp,
): { readonly name: string; readonly bytes: Uint8Array } {
  for (let at = 0, file = 0; at + TAR_BLOCK <= tar.length && file < MOST_FILES; file++) {
    const prefix = cText(tar, at + 345, 155);
    const name = `${prefix === '' ? '' : `${prefix}/`}${cText(tar, at, 100)}`;
    const size = Number.parseInt(cText(tar, at + 124, 12).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0)
      throw new KernelImageError('a file of the archive has no size', { offset: at });
    const start = at + TAR_BLOCK;
    const type = tar[at + 156] ?? 0;
    const isFile = type === 0 || type === 0x30;
    if (isFile && path.test(name)) {
      if (start + size > tar.length)
        throw new KernelImageError(`the archive is cut short in ${name}`, { offset: at });
      return { name, bytes: tar.subarray(start, start + size) };
    }
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  throw new KernelImageError(
    'the package holds no kernel: expected boot/vmlinuz-*, as linux-image-* packages have it',
  );
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

function cText(bytes: Uint8Array, at: number, length: number): string {
  const whole = text(bytes, at, length);
  const end = whole.indexOf('\0');
  return end < 0 ? whole : whole.slice(0, end);
}
