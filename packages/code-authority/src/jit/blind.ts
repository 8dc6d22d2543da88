import { hex } from '@heki/physical-memory';
import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes } from '@noble/hashes/utils.js';
import type { BlindedConstant } from './judge-program.ts';

/** Times that constants are drawn again, when what was drawn would be a privileged instruction. */
const MOST_ROUNDS = 64;
const SIGN = 2 ** 31;

/**
 * Draws the halves of all constants anew, in place, so that nobody who hands a program over says what bytes stand there; until no privileged instruction that
 * begins with 0f does so at any byte, also within instructions. What stands in the way of that, when it is nothing drawn.
 *
 * @param secret what the guest does not know
 * @param chain what was done before: no two programs get the same
 */
export function blind(
  code: Uint8Array,
  constants: readonly BlindedConstant[],
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
  for (const constant of constants) draw(constant);
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const found = privilegedAt(code);
    if (found.length === 0) return undefined;
    for (const at of found) {
      const near = constants.filter(({ halves }) => halves.some((half) => half < at + 3 && at < half + 4));
      if (near.length === 0) return `offset ${hex(at)}: the bytes of a privileged instruction`;
      for (const constant of near) draw(constant);
    }
  }
  return 'no constants can be drawn';
}

function xor(a: number, b: number): number {
  return (a ^ b) >>> 0;
}

/**
 * Second bytes, behind 0f: descriptor tables, VMX, SVM and XCR0 (01), SYSCALL to WBINVD (05 to 09), control and debug registers, MSRs,
 * SYSENTER and GETSEC, VMREAD and VMWRITE, FS and GS, RSM, LSS, LFS and LGS, RDRAND's group with VMPTRLD (c7).
 */
const PRIVILEGED = new Set([
  0x01, 0x05, 0x06, 0x07, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x34, 0x35, 0x37, 0x78, 0x79, 0xa1,
  0xa9, 0xaa, 0xb2, 0xb4, 0xb5, 0xc7,
]);
/** Third bytes behind 0f 38: INVEPT, INVVPID, INVPCID, LOADIWKEY, writes to shadow stacks, ENQCMDS. */
const PRIVILEGED_38 = new Set([0x80, 0x81, 0x82, 0xdc, 0xf5, 0xf6, 0xf8]);
/** Extensions behind 0f 00 that do no more than a store or a load: SLDT, STR, VERR, VERW. A branch over 3840 to 4095 bytes holds 0f 00 00. */
const HARMLESS_00 = new Set([0, 1, 4, 5]);
/** Behind 0f 3a: HRESET. */
const HRESET = 0xf0;

/** Where such instructions begin. Behind 0f ae only LFENCE stands: state of the FPU, and shadow stacks. */
function privilegedAt(code: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at + 1 < code.length; at++) {
    if (code[at] !== 0x0f) continue;
    const second = code[at + 1] ?? 0;
    const third = code[at + 2];
    const isPrivileged =
      PRIVILEGED.has(second) ||
      (second === 0x00 && (third === undefined || !HARMLESS_00.has(Math.floor(third / 8) % 8))) ||
      (second === 0x38 && third !== undefined && PRIVILEGED_38.has(third)) ||
      (second === 0x3a && third === HRESET) ||
      (second === 0xae && third !== 0xe8);
    if (isPrivileged) found.push(at);
  }
  return found;
}
