import type { GeneralRegister } from '@heki/vcpu';

/** An instruction that {@link decodeInstruction} knows. */
export type Instruction =
  | { readonly kind: 'nothing'; readonly length: number }
  | {
      /** `target` = `base` + `displacement`. */
      readonly kind: 'lea';
      readonly length: number;
      readonly target: GeneralRegister;
      readonly base: GeneralRegister;
      readonly displacement: bigint;
    }
  | { readonly kind: 'return'; readonly length: number };

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
const NOP = 0x90;
const RET = 0xc3;
const REX_W = 0x48;
const LEA = 0x8d;
/** Mod of a ModRM byte: a base register and a displacement of eight bits. */
const MOD_DISPLACEMENT_8 = 1;
/** An r/m of 4 is a SIB byte. */
const SIB = 4;
/** In the order of their numbers (SDM 2A table 2-2). */
const REGISTERS: readonly GeneralRegister[] = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];

/**
 * The instruction at the beginning of `bytes`, for the few of which small leaf functions of a kernel are made: ENDBR64, NOP, LEA
 * with a base and an eight-bit displacement, RET (SDM 2A 2.1). `undefined` for every other, and for one that `bytes` cut off.
 */
export function decodeInstruction(bytes: Uint8Array): Instruction | undefined {
  const [first = -1, second, modRm = 0, displacement] = bytes;
  if (first === NOP) return { kind: 'nothing', length: 1 };
  if (first === RET) return { kind: 'return', length: 1 };
  if (ENDBR64.every((byte, index) => bytes[index] === byte)) return { kind: 'nothing', length: 4 };
  if (first !== REX_W || second !== LEA || displacement === undefined) return undefined;
  const target = REGISTERS[Math.floor(modRm / 8) % 8];
  const base = REGISTERS[modRm % 8];
  if (Math.floor(modRm / 64) !== MOD_DISPLACEMENT_8 || modRm % 8 === SIB) return undefined;
  if (target === undefined || base === undefined) return undefined;
  return { kind: 'lea', length: 4, target, base, displacement: BigInt.asIntN(8, BigInt(displacement)) };
}
