import { type AddressOf, type FrameNumber, frameOf, PAGE_SIZE } from './address.ts';

/**
 * A page as 1,024 little-endian 32-bit words that must not be written. The view is the memory itself, not a
 * copy, and is valid until the next {@link PhysicalMemory.writablePage} of the same frame (which may replace
 * the page by a private copy).
 */
export interface PageView {
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly [word: number]: number;
}

/**
 * Physical memory of a guest (`PhysicalMemory<Gfn>`) or of the host (`PhysicalMemory<Pfn>`), page by page.
 *
 * A page is either present or *absent*: there is no memory at that frame, or a snapshot does not hold it.
 * Absent is not zero, and every reader can tell them apart.
 */
export interface PhysicalMemory<Frame extends FrameNumber = FrameNumber> {
  /** The page at `frame` for reading, or `undefined` when it is absent. Never allocates a page. */
  page(frame: Frame): PageView | undefined;
  /**
   * The page at `frame` for reading and writing, or `undefined` when it is absent. This view stays the page for good:
   * later calls give the same memory.
   */
  writablePage(frame: Frame): Uint32Array | undefined;
}

/** A 64-bit value as two unsigned 32-bit halves. */
export interface U64 {
  readonly low: number;
  readonly high: number;
}

/** The 32-bit word at `address` (which must be 4-byte aligned), or `undefined` when the page is absent. */
export function readU32<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
): number | undefined {
  return memory.page(frameOf<Frame>(address))?.[(address % PAGE_SIZE) >>> 2];
}

/** The 64-bit value at `address` (which must be 8-byte aligned), or `undefined` when the page is absent. */
export function readU64<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
): U64 | undefined {
  const page = memory.page(frameOf<Frame>(address));
  if (page === undefined) return undefined;
  const word = (address % PAGE_SIZE) >>> 2;
  return { low: page[word] ?? 0, high: page[word + 1] ?? 0 };
}

/** Stores the 32-bit word at `address` (4-byte aligned). `false` when the page is absent: nothing was stored. */
export function writeU32<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
  value: number,
): boolean {
  const page = memory.writablePage(frameOf<Frame>(address));
  if (page === undefined) return false;
  page[(address % PAGE_SIZE) >>> 2] = value;
  return true;
}

/** Stores a 64-bit value at `address` (8-byte aligned). `false` when the page is absent: nothing was stored. */
export function writeU64<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
  value: U64,
): boolean {
  const page = memory.writablePage(frameOf<Frame>(address));
  if (page === undefined) return false;
  const word = (address % PAGE_SIZE) >>> 2;
  page[word] = value.low;
  page[word + 1] = value.high;
  return true;
}

/**
 * Copies `target.length` bytes from `address` on, over page boundaries, into `target`.
 * Returns the number of bytes copied: less than `target.length` when an absent page was met.
 */
export function readBytes<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
  target: Uint8Array,
): number {
  let done = 0;
  while (done < target.length) {
    const at = (address + done) as AddressOf<Frame>;
    const page = memory.page(frameOf<Frame>(at));
    if (page === undefined) break;
    const offset = at % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, target.length - done);
    target.set(new Uint8Array(page.buffer, page.byteOffset + offset, length), done);
    done += length;
  }
  return done;
}

/**
 * Stores `source` from `address` on, over page boundaries.
 * Returns the number of bytes stored: less than `source.length` when an absent page was met.
 */
export function writeBytes<Frame extends FrameNumber>(
  memory: PhysicalMemory<Frame>,
  address: AddressOf<Frame>,
  source: Uint8Array,
): number {
  let done = 0;
  while (done < source.length) {
    const at = (address + done) as AddressOf<Frame>;
    const page = memory.writablePage(frameOf<Frame>(at));
    if (page === undefined) break;
    const offset = at % PAGE_SIZE;
    const length = Math.min(PAGE_SIZE - offset, source.length - done);
    new Uint8Array(page.buffer, page.byteOffset + offset, length).set(source.subarray(done, done + length));
    done += length;
  }
  return done;
}
