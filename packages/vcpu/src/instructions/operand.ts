import type { PageView } from '@heki/physical-memory';

/** Eight bytes, seen as a number of any size; the model's pages are little-endian words, and so are these. */
const BYTES = new Uint8Array(8);
const WORDS = new Uint32Array(BYTES.buffer);
const QUAD = new BigUint64Array(BYTES.buffer);

/** The byte at `offset` of a page. */
export function byteAt(page: PageView, offset: number): number {
  return ((page[offset >>> 2] ?? 0) >>> ((offset & 3) << 3)) & 0xff;
}

/** Stores a byte at `offset` of a page. */
export function setByte(page: Uint32Array, offset: number, value: number): void {
  const word = offset >>> 2;
  const shift = (offset & 3) << 3;
  page[word] = ((page[word] ?? 0) & ~(0xff << shift)) | (value << shift);
}

/** `bytes` (1 to 8) bytes from `offset` on, which must not cross the end of the page, as a little-endian number. */
export function operandAt(page: PageView, offset: number, bytes: number): bigint {
  const word = offset >>> 2;
  const shift = (offset & 3) << 3;
  let low = page[word] ?? 0;
  let high = page[word + 1] ?? 0;
  if (shift !== 0) {
    low = (low >>> shift) | (high << (32 - shift));
    high = (high >>> shift) | ((page[word + 2] ?? 0) << (32 - shift));
  }
  if (bytes < 8) {
    high = bytes <= 4 ? 0 : high & (2 ** ((bytes - 4) * 8) - 1);
    if (bytes < 4) low &= 2 ** (bytes * 8) - 1;
  }
  WORDS[0] = low;
  WORDS[1] = high;
  return QUAD[0] ?? 0n;
}

/** Stores the low `bytes` (1 to 8) bytes of `value` from `offset` on, which must not cross the end of the page. */
export function setOperand(page: Uint32Array, offset: number, bytes: number, value: bigint): void {
  QUAD[0] = value;
  if ((offset & 3) === 0 && (bytes & 3) === 0) {
    page[offset >>> 2] = WORDS[0] ?? 0;
    if (bytes === 8) page[(offset >>> 2) + 1] = WORDS[1] ?? 0;
    return;
  }
  for (let i = 0; i < bytes; i++) setByte(page, offset + i, BYTES[i] ?? 0);
}
