import type { ImageAddress } from './image-view.ts';

/** Whether `bytes` begin with `expected`. */
export function is(bytes: Uint8Array, ...expected: readonly number[]): boolean {
  return expected.every((byte, index) => bytes[index] === byte);
}

/** The multi-byte NOPs of Linux (asm/nops.h), of 1 to 9 bytes. */
const NOPS: readonly (readonly number[])[] = [
  [0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
  [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
  [0x0f, 0x1f, 0x80, 0, 0, 0, 0],
  [0x66, 0x0f, 0x1f, 0x44, 0, 0],
  [0x0f, 0x1f, 0x44, 0, 0],
  [0x0f, 0x1f, 0x40, 0],
  [0x0f, 0x1f, 0],
  [0x66, 0x90],
  [0x90],
];

/** Whether `bytes` do nothing, from `from` on: NOPs, or since Linux 6.6 a jump over INT3 where there are many. */
export function areNops(bytes: Uint8Array, from = 0): boolean {
  let at = from;
  while (at < bytes.length) {
    // Prefixes lengthen a NOP to 11 bytes.
    let start = at;
    while (bytes[start] === 0x66 || bytes[start] === 0x2e) start++;
    const nop = NOPS.find((one) => one.every((byte, index) => bytes[at + index] === byte));
    const over = bytes[at] === 0xeb ? at + 2 + (bytes[at + 1] ?? 0) : at;
    if (nop !== undefined) at += nop.length;
    else if (
      over > at + 1 &&
      over <= bytes.length &&
      bytes.subarray(at + 2, over).every((byte) => byte === 0xcc)
    )
      at = over;
    else if (start > at) at = start;
    else return false;
  }
  return at === bytes.length;
}

/** Where JMP rel8, JMP rel32, CALL rel32 or Jcc rel32 leads; `undefined` of other instructions. */
export function branchTarget(live: Uint8Array, at: ImageAddress): ImageAddress | undefined {
  const first = live[0];
  if (first === 0xeb) return at + 2 + (((live[1] ?? 0) << 24) >> 24);
  if (first === 0xe8 || first === 0xe9) return at + 5 + int32(live, 1);
  if (first === 0x2e && (live[1] === 0xe8 || live[1] === 0xe9)) return at + 6 + int32(live, 2);
  if (first === 0x0f && ((live[1] ?? 0) & 0xf0) === 0x80) return at + 6 + int32(live, 2);
  return undefined;
}

export function int32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
