/** How Linux fills what is left of a site. It differs between versions, and each byte counts. */
export interface NopStyle {
  /** The longest single NOP (ASM_NOP_MAX). */
  readonly longest: 8 | 11;
  /** What is longer is jumped over, with INT3 behind the jump; else it is several NOPs. */
  readonly jumps: boolean;
}

/** asm/nops.h: BYTES_NOP1 to BYTES_NOP11. */
const NOPS: readonly (readonly number[])[] = [
  [],
  [0x90],
  [0x66, 0x90],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];
const SHORT_REACH = 128;
const [JMP8, JMP32, INT3] = [0xeb, 0xe9, 0xcc];

/** The NOP of `length` bytes, 1 to 11. */
export function nop(length: number): readonly number[] {
  return NOPS[length] ?? [];
}

/** Fills `code` from `start` to `end` with what does nothing (add_nops). */
export function fillNops(code: Uint8Array, start: number, end: number, { longest, jumps }: NopStyle): void {
  let at = start;
  if (jumps && end - at > longest) {
    const isShort = end - at < SHORT_REACH;
    const distance = end - at - (isShort ? 2 : 5);
    code.fill(INT3, at, end);
    code.set(isShort ? [JMP8, distance] : [JMP32, distance & 255, distance >> 8, 0, 0], at);
    return;
  }
  while (at < end) {
    const length = Math.min(end - at, longest);
    code.set(nop(length), at);
    at += length;
  }
}
