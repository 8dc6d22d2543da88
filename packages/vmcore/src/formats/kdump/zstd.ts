import { Decompress } from 'fzstd';
import { VmcoreError } from '../../error.ts';

/** Largest window, as a power of two beyond 1 KiB: the 8 MiB that a decoder should take (RFC 8878, section 3.1.1.1.2). */
const MOST_WINDOW = 13;
/** A page is mostly one block; the library moves its window for each. */
const MOST_BLOCKS = 64;
const RLE = 1;

/**
 * Fills `target`, of not more than 64 KiB, from one frame of Zstandard (RFC 8878). A checksum of its contents, which makedumpfile does not write, is not looked at.
 *
 * @throws {VmcoreError} when the frame is damaged, gives more or fewer bytes, or has anything behind it
 */
export function decompressZstd(frame: Uint8Array, target: Uint8Array): void {
  const end = endOf(frame);
  if (end !== frame.length) throw damaged(`${frame.length} bytes: its frame ends at ${end}`);
  let to = 0;
  const decoder = new Decompress((piece) => {
    if (to + piece.length > target.length) throw damaged(`more than ${target.length} bytes`);
    target.set(piece, to);
    to += piece.length;
  });
  try {
    decoder.push(frame, true);
  } catch (cause) {
    if (cause instanceof VmcoreError) throw cause;
    throw new VmcoreError(`damaged zstd data: ${(cause as Error).message}`, { cause });
  }
  if (to !== target.length) throw damaged(`${to} bytes: expected ${target.length}`);
}

/** Where the frame ends, by the headers of its blocks. The library takes as much memory as a header asks for, and any number of frames. */
function endOf(frame: Uint8Array): number {
  const byte = (at: number) => frame[at] ?? 0;
  const flags = byte(4);
  const sizeFlag = flags >> 6;
  const isSingle = (flags & 32) !== 0;
  if (isSingle ? sizeFlag > 1 : byte(5) >> 3 > MOST_WINDOW) throw damaged('it is more than a page');
  const sizeBytes = sizeFlag === 0 ? Number(isSingle) : 2 ** sizeFlag;
  let at = 5 + Number(!isSingle) + ([0, 1, 2, 4][flags % 4] ?? 0) + sizeBytes;
  for (let blocks = 0; blocks < MOST_BLOCKS; blocks++) {
    const header = byte(at) + byte(at + 1) * 256 + byte(at + 2) * 65536;
    at += 3 + ((header >> 1) % 4 === RLE ? 1 : header >> 3);
    if (header % 2 === 1) return at + ((flags & 4) === 0 ? 0 : 4);
  }
  throw damaged(`more than ${MOST_BLOCKS} blocks`);
}

function damaged(why: string): VmcoreError {
  return new VmcoreError(`damaged zstd data: ${why}`);
}
