/**
 * A state of the abstract machine in one number of 40 bits: three frames, two virtual addresses, two processors.
 *
 * ```text
 *  39      35 34      30 29      25 24      20 | 19 18 | 17 16 15 | 14 13 | 12 11 10 | 9  8 | 7  6 | 5  4 | 3  2 | 1  0
 *  cached by processor 1 | cached by processor 0 | fallen | phase    | frame | approved | X  W | X  W | X  W | va 1 | va 0
 *  va 1       va 0         va 1       va 0                             asked   f2 f1 f0   f2     f1     f0     frame  frame
 * ```
 *
 * A cached translation is valid (bit 0), a frame (bits 2:1), writable (bit 3), executable (bit 4). The upper 20 bits are apart from the
 * lower ones, so that JavaScript's bit operators take each half whole: `memory` is what memory and the owner hold, `cached` what processors have.
 */

const HALF = 2 ** 20;

export const FRAMES = 3;
export const ADDRESSES = 2;
/** The address that the owner lists: the kernel's text. It belongs to frame 0. */
export const LISTED = 0;

export const EVIL_RAN: number = 1 << 18;
export const REMAPPED: number = 1 << 19;

export function memoryOf(state: number): number {
  return state % HALF;
}

export function cachedOf(state: number): number {
  return Math.floor(state / HALF);
}

export function stateOf(memory: number, cached: number): number {
  return cached * HALF + memory;
}

export function frameOfAddress(memory: number, va: number): number {
  return (memory >>> (2 * va)) & 3;
}

export function withFrameOfAddress(memory: number, va: number, page: number): number {
  return (memory & ~(3 << (2 * va))) | (page << (2 * va));
}

/** W in bit 0, X in bit 1. */
export function rightsOf(memory: number, page: number): number {
  return (memory >>> (4 + 2 * page)) & 3;
}

export function withRights(memory: number, page: number, rights: number): number {
  return (memory & ~(3 << (4 + 2 * page))) | (rights << (4 + 2 * page));
}

export function isApproved(memory: number, page: number): boolean {
  return ((memory >>> (10 + page)) & 1) === 1;
}

export function withApproved(memory: number, page: number, approved: boolean): number {
  const bit = 1 << (10 + page);
  return approved ? memory | bit : memory & ~bit;
}

/** Which step of a request the owner has come to; 0: none is under way. */
export function phaseOf(memory: number): number {
  return (memory >>> 15) & 7;
}

export function askedFrame(memory: number): number {
  return (memory >>> 13) & 3;
}

export function withRequest(memory: number, phase: number, page: number): number {
  return (memory & ~(0x1f << 13)) | (phase << 15) | (page << 13);
}

/** What a processor has cached of an address: 0 for nothing. */
export function cachedEntry(cached: number, processor: number, va: number): number {
  return (cached >>> (10 * processor + 5 * va)) & 0x1f;
}

export function withCachedEntry(cached: number, processor: number, va: number, entry: number): number {
  const shift = 10 * processor + 5 * va;
  return (cached & ~(0x1f << shift)) | (entry << shift);
}

export function cacheEntry(page: number, rights: number): number {
  return 1 | (page << 1) | (rights << 3);
}

/** Drops everything that one processor has cached. */
export function withoutProcessor(cached: number, processor: number): number {
  return cached & ~(0x3ff << (10 * processor));
}
