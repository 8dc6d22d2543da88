import { hex } from '@heki/physical-memory';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes } from '@noble/hashes/utils.js';
import { hiddenInstructions } from './hidden.ts';
import type { BlindedConstant, Rewritten } from './judge-program.ts';

/** Times that constants are drawn again, when what was drawn would be an instruction that may begin nowhere. */
const MOST_ROUNDS = 64;
/** A no-op of four bytes: `nopl 0(%rax)`. */
const NOP4 = [0x0f, 0x1f, 0x40, 0x00];
const SIGN = 2 ** 31;

/**
 * Draws the halves of all constants anew, in place, so that nobody who hands a program over says what bytes stand there; until no privileged instruction of two
 * bytes and more begins at any byte, also within instructions ({@link hiddenInstructions}). ENDBR64 behind the frame becomes a no-op: a program is entered at its
 * beginning alone. What stands in the way of that, when it is nothing drawn.
 *
 * @param secret what the guest does not know
 * @param chain what was done before: no two programs get the same
 */
export function blind(
  code: Uint8Array,
  { constants, landings, body }: Rewritten,
  secret: Uint8Array,
  chain: Uint8Array,
): string | undefined {
  const bytes = new DataView(code.buffer, code.byteOffset, code.byteLength);
  let drawn = 0;
  const draw = ({ halves, keepsSign }: BlindedConstant): void => {
    const count = new Uint8Array(4);
    new DataView(count.buffer).setUint32(0, drawn++);
    const digest = sha256(concatBytes(secret, chain, count));
    const random = new DataView(digest.buffer, digest.byteOffset).getUint32(0);
    for (const half of halves)
      bytes.setUint32(half, xor(bytes.getUint32(half, true), keepsSign ? random % SIGN : random), true);
  };
  for (const at of landings) code.set(NOP4, at);
  for (const constant of constants) draw(constant);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const found = hiddenInstructions(code, body);
    if (found.length === 0) return undefined;
    for (const { start, end } of found) {
      const near = constants.filter(({ halves }) => halves.some((half) => half < end && start < half + 4));
      if (near.length === 0) return `offset ${hex(start)}: the bytes of ${what(code, start)}`;
      for (const constant of near) draw(constant);
    }
  }
  return 'no constants can be drawn';
}

function xor(a: number, b: number): number {
  return (a ^ b) >>> 0;
}

function what(code: Uint8Array, at: number): string {
  return code[at] === 0xf3 ? 'an instruction of control-flow enforcement' : 'a privileged instruction';
}
