import type { Place, Site } from './code-image.ts';

/** The no-operations that Linux patches in (arch/x86/include/asm/nops.h). */
const NOP2 = [0x66, 0x90] as const;
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00] as const;
/** `cs cs cs xor %eax,%eax`: a static call that returns 0 (arch/x86/kernel/static_call.c, xor5rax, since Linux 6.1). */
const RETURN_ZERO = [0x2e, 0x2e, 0x2e, 0x31, 0xc0] as const;
/** `ret`, filled up. */
const RETURN = [0xc3, 0xcc, 0xcc, 0xcc, 0xcc] as const;
const LOCK = [0xf0] as const;
/** A prefix that does nothing: what stands for LOCK while one processor runs. */
const DS = [0x3e] as const;
const CALL = 0xe8;
const JMP = 0xe9;
const SHORT_JMP = 0xeb;
const BRANCH_BYTES = 5;
const SHORT_BYTES = 2;

/** The longest site. */
export const SITE_BYTES = 5;

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

/** Why a site may not be in a state: LOCK gives way to DS only while no other processor can be in the middle of it. `undefined` when it may. */
export function lockFault({ kind }: Site, state: number, processors: number): string | undefined {
  return kind === 'lock' && state === 1 && processors !== 1
    ? `${processors} processors run: LOCK stays`
    : undefined;
}

/**
 * Writes the bytes of a site in a state into `bytes`, from `at` on. A page of requests has hundreds: nothing is allocated.
 *
 * @param distance bytes from its first to what the state leads to, for those that lead somewhere
 * @returns whether a branch reaches that far
 */
export function writeSite(
  site: Site,
  state: number,
  distance: number,
  bytes: Uint8Array,
  at: number,
): boolean {
  switch (site.kind) {
    case 'jump-label':
      if (state === 0) return fixed(site.length === 2 ? NOP2 : NOP5, bytes, at);
      return site.length === 2 ? shortJump(distance, bytes, at) : branch(JMP, distance, bytes, at);
    case 'lock':
      return fixed(state === 0 ? LOCK : DS, bytes, at);
    case 'static-call':
      return state < 2
        ? fixed(state === 0 ? NOP5 : RETURN_ZERO, bytes, at)
        : branch(CALL, distance, bytes, at);
    case 'static-jump':
      return state < 2 ? fixed(state === 0 ? NOP5 : RETURN, bytes, at) : branch(JMP, distance, bytes, at);
    case 'fentry':
      return state === 0 ? fixed(NOP5, bytes, at) : branch(CALL, distance, bytes, at);
  }
}

/** Where a state leads, as an index into `targets`; -1 when it leads to none of them. */
export function targetOf({ kind }: Site, state: number): number {
  if (kind === 'fentry') return state - 1;
  return kind === 'static-call' || kind === 'static-jump' ? Math.max(state - 2, -1) : -1;
}

/** The place, or the name, that a state leads to; `undefined` when it leads nowhere. */
export function leadsTo(site: Site, state: number): Place | string | undefined {
  return site.kind === 'jump-label' && state === 1 ? site.target : site.targets?.[targetOf(site, state)];
}

function fixed(code: readonly number[], bytes: Uint8Array, at: number): boolean {
  bytes.set(code, at);
  return true;
}

function branch(opcode: number, distance: number, bytes: Uint8Array, at: number): boolean {
  const field = distance - BRANCH_BYTES;
  if (field < -(2 ** 31) || field >= 2 ** 31) return false;
  bytes[at] = opcode;
  for (let index = 0; index < 4; index++) bytes[at + 1 + index] = field >> (8 * index);
  return true;
}

function shortJump(distance: number, bytes: Uint8Array, at: number): boolean {
  const field = distance - SHORT_BYTES;
  if (field < -128 || field > 127) return false;
  bytes[at] = SHORT_JMP;
  bytes[at + 1] = field;
  return true;
}
