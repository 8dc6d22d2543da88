import { PAGE_SIZE } from '@heki/physical-memory';
import { unzlibSync } from 'fflate';
import { VmcoreError } from '../../error.ts';
import type { Inflate } from '../dump-format.ts';
import { decompressLzo1x } from './lzo1x.ts';
import { decompressSnappy } from './snappy.ts';
import { decompressZstd } from './zstd.ts';

/** How a page is packed: flags of its descriptor (makedumpfile, diskdump_mod.h). */
const ZLIB = 1;
const LZO = 2;
const SNAPPY = 4;
const ZSTD = 32;
const PACKED = ZLIB | LZO | SNAPPY | ZSTD;

/** Their names, by flag, as far as a header has them. */
export function packingName(flags: number): string {
  const names = [
    [ZLIB, 'zlib'],
    [LZO, 'lzo'],
    [SNAPPY, 'snappy'],
    [ZSTD, 'zstd'],
  ] as const;
  return names.find(([flag]) => (flags & flag) !== 0)?.[1] ?? 'not compressed';
}

/** The page that `packed` is, by the flags of its descriptor. @throws {VmcoreError} when it is not one */
export function decompressPage(
  packed: Uint8Array<ArrayBuffer>,
  flags: number,
  inflate: Inflate = inflateInScript,
): Uint32Array {
  const page = pageOf(packed, flags & PACKED, inflate);
  if (page.length !== PAGE_SIZE) {
    throw new VmcoreError(`a page of ${page.length} bytes: expected ${PAGE_SIZE}`);
  }
  // A decoder may give a part of a larger array.
  const bytes = page.byteOffset === 0 && page.buffer.byteLength === PAGE_SIZE ? page : page.slice();
  return new Uint32Array(bytes.buffer);
}

function pageOf(packed: Uint8Array<ArrayBuffer>, packing: number, inflate: Inflate): Uint8Array<ArrayBuffer> {
  switch (packing) {
    case 0:
      return packed;
    case LZO:
      return filled(packed, decompressLzo1x);
    case SNAPPY:
      return filled(packed, decompressSnappy);
    case ZLIB:
      return checked(() => inflate(packed, PAGE_SIZE));
    case ZSTD:
      return filled(packed, decompressZstd);
    default:
      throw new VmcoreError(`a page with flags 0x${packing.toString(16)}: expected one way of packing it`);
  }
}

function inflateInScript(packed: Uint8Array, most: number): Uint8Array {
  // With room to see what is too long: the library leaves out what has none.
  const page = unzlibSync(packed, { out: new Uint8Array(most + 1) });
  const sum = new DataView(packed.buffer, packed.byteOffset).getUint32(packed.length - 4);
  if (sum !== adler32(page)) throw new Error('its checksum is wrong');
  return page;
}

/** The page that `decode` fills. */
function filled(
  packed: Uint8Array,
  decode: (packed: Uint8Array, target: Uint8Array) => void,
): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE_SIZE);
  decode(packed, page);
  return page;
}

/** What a library gives, or its error as one of the dump. */
function checked(decode: () => Uint8Array): Uint8Array<ArrayBuffer> {
  try {
    return decode() as Uint8Array<ArrayBuffer>;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VmcoreError(`damaged zlib data: ${why}`, { cause });
  }
}

/** The checksum at the end of a zlib stream (RFC 1950, section 8.2), which the library does not look at. */
function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  // Sums of a page's bytes stay far below 2^53: they are reduced once.
  for (const byte of bytes) {
    a += byte;
    b += a;
  }
  return (b % 65521) * 65536 + (a % 65521);
}
