import { RET } from '../text/instructions.ts';

/** `push rbp; mov rbp, rsp`, with which the JIT's prologue makes a frame, and LEAVE, which ends it. */
const FRAME = [0x55, 0x48, 0x89, 0xe5];
const LEAVE = 0xc9;
const NOP = 0x90;

/** An eBPF program of `size` bytes as a JIT emits them, which does nothing. One below 6 bytes has no room for a frame: no-ops alone. */
export function compiledProgram(size: number): Uint8Array {
  const program = new Uint8Array(size).fill(NOP);
  const end = [LEAVE, RET];
  if (size < FRAME.length + end.length) return program;
  program.set(FRAME);
  program.set(end, size - end.length);
  return program;
}
