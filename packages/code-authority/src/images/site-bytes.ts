import type { Site } from './code-image.ts';

/** The no-operations that Linux patches in (arch/x86/include/asm/nops.h). */
const NOP2 = [0x66, 0x90];
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/** `data16 data16 xor %rax,%rax`: a static call that returns 0 (arch/x86/kernel/static_call.c, xor5rax). */
const RETURN_ZERO = [0x66, 0x66, 0x48, 0x31, 0xc0];
/** `ret`, filled up. */
const RETURN = [0xc3, 0xcc, 0xcc, 0xcc, 0xcc];
const CALL = 0xe8;
const JMP = 0xe9;
const SHORT_JMP = 0xeb;
const LOCK_PREFIX = 0xf0;
/** A prefix that does nothing: what stands for LOCK while one processor runs. */
const DS_PREFIX = 0x3e;

/** States that a site can have. */
export function statesOf({ kind, targets = [] }: Site): number {
  switch (kind) {
    case 'jump-label':
    case 'lock':
      return 2;
    case 'static-call':
    case 'static-jump':
      return 2 + targets.length;
    case 'fentry':
      return 1 + targets.length;
  }
}

/**
 * The bytes of a site in a state; `undefined` when it leads further than a branch reaches.
 *
 * @param from the address of its first byte
 * @param to the address that the state leads to, for those that lead somewhere
 */
export function siteBytes(site: Site, state: number, from: bigint, to: bigint): Uint8Array | undefined {
  switch (site.kind) {
    case 'jump-label':
      if (state === 0) return Uint8Array.from(site.length === 2 ? NOP2 : NOP5);
      return site.length === 2 ? shortJump(from, to) : branch(JMP, from, to);
    case 'lock':
      return Uint8Array.of(state === 0 ? LOCK_PREFIX : DS_PREFIX);
    case 'static-call':
      if (state < 2) return Uint8Array.from(state === 0 ? NOP5 : RETURN_ZERO);
      return branch(CALL, from, to);
    case 'static-jump':
      if (state < 2) return Uint8Array.from(state === 0 ? NOP5 : RETURN);
      return branch(JMP, from, to);
    case 'fentry':
      return state === 0 ? Uint8Array.from(NOP5) : branch(CALL, from, to);
  }
}

/** Where a state leads, as an index into `targets`; -1 when it leads to none of them. */
export function targetOf({ kind }: Site, state: number): number {
  if (kind === 'fentry') return state - 1;
  return kind === 'static-call' || kind === 'static-jump' ? Math.max(state - 2, -1) : -1;
}

function branch(opcode: number, from: bigint, to: bigint): Uint8Array | undefined {
  const distance = to - from - 5n;
  if (BigInt.asIntN(32, distance) !== distance) return undefined;
  const bytes = new Uint8Array(5);
  bytes[0] = opcode;
  new DataView(bytes.buffer).setInt32(1, Number(distance), true);
  return bytes;
}

function shortJump(from: bigint, to: bigint): Uint8Array | undefined {
  const distance = to - from - 2n;
  if (BigInt.asIntN(8, distance) !== distance) return undefined;
  return Uint8Array.of(SHORT_JMP, Number(BigInt.asUintN(8, distance)));
}
