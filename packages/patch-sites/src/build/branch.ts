import type { ImageAddress } from '../image-view.ts';

/** JMP rel32 or CALL rel32 from `from` to `to`, by its opcode. */
export function branch(opcode: number, from: ImageAddress, to: ImageAddress): number[] {
  const distance = to - from - 5;
  return [opcode, distance & 255, (distance >> 8) & 255, (distance >> 16) & 255, (distance >> 24) & 255];
}
