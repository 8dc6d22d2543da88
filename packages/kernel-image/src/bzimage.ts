import { KernelImageError } from './error.ts';

/** How the kernel in a bzImage is packed. */
export type Compression = 'lz4' | 'xz' | 'zstd' | 'gzip';

/** The packed kernel of a bzImage. */
export interface Payload {
  readonly compression: Compression;
  /** The stream alone. */
  readonly bytes: Uint8Array;
  /** What it unpacks to, as the image says. */
  readonly unpackedBytes: number;
}

/** Linux, Documentation/arch/x86/boot.rst. */
const SETUP_SECTORS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;
/** The first with a payload offset: 2.08. */
const LEAST_VERSION = 0x208;
/** Debian's kernels unpack to 60 MB. */
const MOST_UNPACKED = 3 * 2 ** 26;

const MAGICS: readonly (readonly [magic: string, compression: Compression])[] = [
  ['02214c18', 'lz4'],
  ['fd377a585a00', 'xz'],
  ['28b52ffd', 'zstd'],
  ['1f8b', 'gzip'],
];

/** Whether a file is a bzImage: `HdrS` in its header. */
export function isBzImage(bytes: Uint8Array): boolean {
  return (
    bytes.length > PAYLOAD_LENGTH + 4 &&
    String.fromCharCode(...bytes.subarray(HEADER_MAGIC, HEADER_MAGIC + 4)) === 'HdrS'
  );
}

/** The payload of a bzImage. @throws {KernelImageError} when it has none, or one that is packed in another way */
export function bzImagePayload(bytes: Uint8Array): Payload {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(HEADER_MAGIC + 4, true);
  if (version < LEAST_VERSION) {
    throw new KernelImageError(`boot protocol 0x${version.toString(16)}: expected 0x208 or newer`, {
      offset: HEADER_MAGIC + 4,
    });
  }
  const sectors = view.getUint8(SETUP_SECTORS) || 4;
  const start = (sectors + 1) * SECTOR + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (length < 8 || start + length > bytes.length) {
    throw new KernelImageError(`the image is cut short: its payload of ${length} bytes does not end`, {
      offset: PAYLOAD_LENGTH,
    });
  }
  const head = Array.from(bytes.subarray(start, start + 6), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  const compression = MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
  if (compression === undefined) {
    throw new KernelImageError(
      `the kernel is packed in a way that is not read (0x${head}): expected lz4, xz, zstd or gzip`,
      { offset: start },
    );
  }
  // Behind all but gzip's own stream stands what it unpacks to (scripts/Makefile.lib, size_append).
  const unpackedBytes = view.getUint32(start + length - 4, true);
  if (unpackedBytes < length / 16 || unpackedBytes > MOST_UNPACKED) {
    throw new KernelImageError(
      `the payload would unpack to ${unpackedBytes} bytes: expected at most ${MOST_UNPACKED}`,
      { offset: start + length - 4 },
    );
  }
  const end = compression === 'gzip' ? start + length : start + length - 4;
  return { compression, bytes: bytes.subarray(start, end), unpackedBytes };
}
