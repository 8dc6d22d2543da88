import type { VirtualAddress } from '@heki/physical-memory';

/** Bytes of a near jump or call. */
export const JUMP_LENGTH = 5 as const;

/** `x86_nops[5]`: what lies at a site that does nothing. */
export const NOP5: Uint8Array = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** Opcodes of the instructions that patches are made of, and of the breakpoint that stands in their place meanwhile. */
export const [INT3, RET, CALL, JMP, JMP8] = [0xcc, 0xc3, 0xe8, 0xe9, 0xeb] as const;

/** `jmp target` at `at`. */
export function jumpTo(at: VirtualAddress, target: VirtualAddress): Uint8Array {
  return relative(JMP, at, target);
}

/** `call target` at `at`. */
export function callTo(at: VirtualAddress, target: VirtualAddress): Uint8Array {
  return relative(CALL, at, target);
}

function relative(opcode: number, at: VirtualAddress, target: VirtualAddress): Uint8Array {
  const bytes = new Uint8Array(JUMP_LENGTH);
  bytes[0] = opcode;
  new DataView(bytes.buffer).setInt32(1, Number(BigInt.asIntN(32, target - at - BigInt(JUMP_LENGTH))), true);
  return bytes;
}
