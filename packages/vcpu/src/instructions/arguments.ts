import { VIRTUAL_FRAME_END, type VirtualAddress, type VirtualFrame } from '@heki/physical-memory';
import { VcpuError } from '../error.ts';

/** Bit n is set for n in 1, 2, 4, 8. */
const OPERAND_SIZES = 0b1_0001_0110;
/** The longest instruction (SDM 2A 2.3.11). */
const LONGEST_INSTRUCTION = 15;

/** The frame of `va`. @throws {VcpuError} when `va` is not a 64-bit address */
export function checkedFrame(va: VirtualAddress): VirtualFrame {
  const frame = Number(va >> 12n);
  if (!(frame >= 0 && frame < VIRTUAL_FRAME_END)) {
    throw new VcpuError(`virtual address ${va}: expected 0 to 0xffffffffffffffff`);
  }
  return frame as VirtualFrame;
}

/** @throws {VcpuError} when `bytes` is not an operand size */
export function checkOperandSize(bytes: number): void {
  if (bytes > 8 || ((OPERAND_SIZES >> bytes) & 1) === 0) {
    throw new VcpuError(`operand of ${bytes} bytes: expected 1, 2, 4 or 8`);
  }
}

/** @throws {VcpuError} when no instruction has that many bytes */
export function checkInstructionLength(bytes: number): void {
  checkInteger(bytes, 1, LONGEST_INSTRUCTION, 'instruction bytes');
}

/** @throws {VcpuError} unless `value` is an integer from `first` to `last` */
export function checkInteger(value: number, first: number, last: number, what: string): void {
  if (!Number.isInteger(value) || value < first || value > last) {
    throw new VcpuError(`${value} as ${what}: expected an integer from ${first} to ${last}`);
  }
}

/** @throws {VcpuError} unless `value` is a 64-bit value */
export function checkU64(value: bigint, what: string): void {
  if (value < 0n || value >> 64n !== 0n) {
    throw new VcpuError(`${value} as ${what}: expected 0 to 0xffffffffffffffff`);
  }
}
