import { isReturn, leadsTo, leadsWithin, RETURN_THUNKS, type SiteContext } from './branches.ts';
import { areNops, branchTarget, int32, is } from './instructions.ts';
import type { PatchSite } from './patch-site.ts';
import { isStaticCall } from './static-call.ts';

/** Whether Linux may have written `live` at `site`, which the image has as `original`. */
export function isPatched(
  site: PatchSite,
  live: Uint8Array,
  original: Uint8Array,
  context: SiteContext,
): boolean {
  switch (site.kind) {
    case 'smp lock':
      return live[0] === 0xf0 || live[0] === 0x3e;
    case 'endbr seal':
      return is(live, 0x66, 0x0f, 0x1f, 0x00) || is(live, 0x0f, 0x1f, 0x40, 0xd6);
    case 'return thunk':
      return isReturn(site, live, context);
    case 'jump label':
      return areNops(live) || branchTarget(live, site.at) === site.other;
    case 'static call':
      return isStaticCall(site, live, context) !== 'no';
    case 'ftrace':
      return areNops(live) || (live[0] === 0xe8 && leadsTo(live, site.at, context, FTRACE_CALLERS));
    case 'retpoline':
      return isIndirectBranch(live) || leadsTo(live, site.at, context, THUNKS);
    case 'paravirt':
      return isParavirt(site, live, context);
    case 'alternative':
      return isAlternative(site, live, original, context);
    case 'call thunk':
      return live[0] === 0xe8;
    case 'runtime constant':
      return live.length === 1 ? (live[0] ?? 0) < 64 : isPointer(live);
    case 'kprobe':
      return isProbe(site, live, original, context);
  }
}

const THUNKS = /^__x86_indirect_(thunk|its_thunk|call_thunk|jump_thunk)/;
const FTRACE_CALLERS = /^(ftrace_|arch_ftrace_|__fentry__$|function_trace|\w*_trampoline)/;

/** `call *%reg` or `jmp *%reg`, with prefixes and with LFENCE before it, then nothing; behind a Jcc that jumps over it. */
function isIndirectBranch(live: Uint8Array): boolean {
  let at = 0;
  if (((live[0] ?? 0) & 0xf0) === 0x70) at = 2;
  if (is(live.subarray(at), 0x0f, 0xae, 0xe8)) at += 3;
  while (live[at] === 0x2e || live[at] === 0x41) at++;
  const operand = (live[at + 1] ?? 0) & 0xf8;
  if (live[at] !== 0xff) return false;
  // What is behind a jump is never reached: INT3 against speculation.
  if (operand === 0xe0) return areNops(live, live[at + 2] === 0xcc ? at + 3 : at + 2);
  return operand === 0xd0 && areNops(live, at + 2);
}

/** What native functions of pv_ops are as one or two instructions (arch/x86/kernel/paravirt_patch.c and its successors). */
const INLINED: readonly (readonly number[])[] = [
  [0x9c, 0x58],
  [0xfa],
  [0xfb],
  [0x0f, 0x20, 0xd0],
  [0x0f, 0x20, 0xd8],
  [0x0f, 0x22, 0xdf],
  [0x0f, 0x09],
  [0x48, 0x89, 0xf8],
  [0x0f, 0x01, 0xf8],
  [0x31, 0xc0],
  [0xc6, 0x07, 0x00],
];

/** A call of the chosen function where that through pv_ops was; or what it does, in place. */
function isParavirt(site: PatchSite, live: Uint8Array, context: SiteContext): boolean {
  if (live[0] === 0xe8 || live[0] === 0xe9)
    return leadsWithin(live, site.at, context, /./) && areNops(live, 5);
  const inline = INLINED.find((bytes) => is(live, ...bytes));
  return (inline !== undefined && areNops(live, inline.length)) || areNops(live);
}

/**
 * The replacement, moved: what is relative in it leads to where it led before. Or what was there, with its padding in fewer NOPs. Or
 * the call that a call through a pointer became (ALT_FLAG_DIRECT_CALL).
 */
function isAlternative(
  site: PatchSite,
  live: Uint8Array,
  original: Uint8Array,
  context: SiteContext,
): boolean {
  const { at, other = 0, otherSize = 0 } = site;
  const replacement = context.image.bytes(other, otherSize);
  if (replacement === undefined) return false;
  const returns = (offset: number): boolean =>
    leadsWithin(replacement.subarray(offset), other + offset, context, RETURN_THUNKS);
  if (isMoved(live, replacement, other - at, returns) && areNops(live, otherSize)) return true;
  if (samePadded(live, original)) return true;
  // JMP rel32 of the replacement, as short as it can be, then NOPs or INT3 (recompute_jump, apply_reloc).
  const short = branchTarget(live, at);
  const isShort = live[0] === 0xeb && replacement[0] === 0xe9 && (isTraps(live, 2) || areNops(live, 2));
  if (isShort && short === other + 5 + int32(replacement, 1)) return true;
  // Sites of other kinds may lie in the replacement, and were patched there.
  if (replacement.length === 0) return false;
  if (isParavirt(site, live, context)) return live[0] !== 0xe9;
  return isIndirectBranch(live) || isReturn(site, live, context);
}

/** Whether INT3 follows, and NOPs behind the 5 bytes of the jump that there was. */
function isTraps(live: Uint8Array, from: number): boolean {
  return live.subarray(from, 5).every((byte) => byte === 0xcc) && areNops(live, 5);
}

/**
 * Whether `live` begins with `code`, moved down by `by` bytes; where code `returns` by a thunk, it may do so without.
 */
function isMoved(
  live: Uint8Array,
  code: Uint8Array,
  by: number,
  returns: (offset: number) => boolean,
): boolean {
  for (let at = 0; at < code.length; at++) {
    if (live[at] === code[at]) continue;
    if (code[at] === 0xe9 && is(live.subarray(at), 0xc3, 0xcc, 0xcc, 0xcc, 0xcc) && returns(at)) {
      at += 4;
      continue;
    }
    const field = [at, at - 1, at - 2, at - 3].find(
      (start) =>
        start >= 0 && start + 4 <= code.length && ((int32(live, start) - int32(code, start)) | 0) === by,
    );
    if (field === undefined) return false;
    at = field + 3;
  }
  return true;
}

/** Whether `live` is `original` but for NOPs at its end. */
function samePadded(live: Uint8Array, original: Uint8Array): boolean {
  let same = 0;
  while (same < live.length && live[same] === original[same]) same++;
  for (let from = same; from >= 0; from--) if (areNops(live, from) && areNops(original, from)) return true;
  return false;
}

/** INT3 in place of a byte, or the jump of an optimised probe to its buffer, which is not in the image. */
function isProbe(site: PatchSite, live: Uint8Array, original: Uint8Array, { text }: SiteContext): boolean {
  if (live[0] === 0xcc) return live.subarray(1).every((byte, index) => byte === original[index + 1]);
  const target = branchTarget(live, site.at);
  return live[0] === 0xe9 && target !== undefined && (target < text.start || target >= text.end);
}

/** An address of the kernel's half; or USER_PTR_MAX, the last page of the user's with 4 or with 5 levels. */
function isPointer(live: Uint8Array): boolean {
  const high = int32(live, 4) >>> 0;
  const low = int32(live, 0) >>> 0;
  return high >= 0xff00_0000 || ((high === 0x7fff || high === 0xff_ffff) && low === 0xffff_f000);
}
