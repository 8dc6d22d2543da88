import { isInText, isReturn, leadsTo, RETURN_THUNKS, type SiteContext } from './branches.ts';
import type { ImageAddress } from './image-view.ts';
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
      return isJumpLabel(site, live, context);
    case 'static call':
      return isStaticCall(site, live, context) !== 'no';
    case 'ftrace':
      return areNops(live) || (live[0] === 0xe8 && isTracer(live, site.at, context));
    case 'ftrace callback':
      return areNops(live) || isCallback(live, site.at, context);
    case 'retpoline':
      return isRetpoline(site.at, live, registerOf(original, site.at, context), context);
    case 'paravirt':
      return isParavirt(site.at, live, slotOf(original, site.at), context);
    case 'alternative':
      return isAlternative(site, live, original, context);
    case 'call thunk':
      return isCallThunk(site, live, original);
    case 'runtime constant':
      return isRuntimeConstant(site, live, context);
    case 'kprobe':
      return isProbe(site, live, original, context);
  }
}

/**
 * NOPs or the jump, by whether its key is on (jump_label_type): static_key_enabled() XOR what the entry says. Where the dump lacks the key,
 * either.
 */
function isJumpLabel(
  { at, other, key, inverted = false }: PatchSite,
  live: Uint8Array,
  context: SiteContext,
): boolean {
  // JMP to the next instruction does nothing, too.
  const jumps = branchTarget(live, at) === other;
  if (!jumps && !areNops(live)) return false;
  const enabled = key === undefined ? undefined : context.live(key, 4);
  // -1 while it is switched on for the first time: a moment in which sites have either.
  const count = enabled === undefined ? -1 : int32(enabled, 0);
  return count < 0 || jumps === (count > 0 !== inverted);
}

const TRACERS = /^(ftrace_(regs_)?caller|__fentry__)$/;
const CALLBACKS =
  /^(ftrace_(stub|stub_graph|graph_caller|ops_\w+)|arch_ftrace_ops_list_func|function_\w*trace\w*|\w+_(ftrace_handler|trace_call|func_call))$/;
/** Of a trampoline that is compared with what it was copied from: registers are saved there. */
const TRAMPOLINE_HEAD = 16;

/**
 * Whether a call leads to ftrace: to its callers, to a copy of one that was made for one tracer (create_trampoline), or to a trampoline of
 * eBPF that the kernel lists.
 */
function isTracer(live: Uint8Array, at: ImageAddress, context: SiteContext): boolean {
  const target = branchTarget(live, at);
  if (target === undefined) return false;
  if (isInText(context, target)) return leadsTo(live, at, context, TRACERS);
  if (context.bpf.some(({ start, end }) => target >= start && target < end)) return true;
  const there = context.live(target, TRAMPOLINE_HEAD);
  if (there === undefined) return false;
  return ['ftrace_caller', 'ftrace_regs_caller'].some((name) => {
    const from = context.image.symbols.named(name);
    const head = from === undefined ? undefined : context.live(from, TRAMPOLINE_HEAD);
    return head?.every((byte, index) => byte === there[index]) ?? false;
  });
}

/** What ftrace's own callers call: a tracer's function, which a module may have. */
function isCallback(live: Uint8Array, at: ImageAddress, context: SiteContext): boolean {
  const target = branchTarget(live, at);
  if (target === undefined) return false;
  return !isInText(context, target) || leadsTo(live, at, context, CALLBACKS);
}

const REGISTERS: readonly string[] = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'].concat(
  Array.from({ length: 8 }, (_, index) => `r${index + 8}`),
);
const THUNK = /^__x86_indirect_(?:its_|call_|jump_)?thunk_(r\w+)$/;

/** The number of the register through which the thunk jumps that a branch leads to. */
function registerOf(code: Uint8Array, at: ImageAddress, { image }: SiteContext): number | undefined {
  const target = branchTarget(code, at);
  if (target === undefined) return undefined;
  for (const name of image.symbols.at(target)) {
    const register = REGISTERS.indexOf(THUNK.exec(name)?.[1] ?? '');
    if (register >= 0) return register;
  }
  return undefined;
}

/** A branch through the register that the thunk of the image is for: in place, by another thunk, or by one that was made for ITS. */
function isRetpoline(
  at: ImageAddress,
  live: Uint8Array,
  register: number | undefined,
  context: SiteContext,
): boolean {
  if (register === undefined) return false;
  const target = branchTarget(live, at);
  if (target === undefined) return indirectRegister(live) === register;
  const by = registerOf(live, at, context);
  if (by !== undefined || isInText(context, target)) return by === register;
  // its_init_thunk: JMP *%reg; INT3.
  const thunk = context.live(target, 3);
  return thunk !== undefined && indirectRegister(thunk) === register && isJumpByRegister(thunk);
}

function isJumpByRegister(code: Uint8Array): boolean {
  const at = code[0] === 0x41 ? 1 : 0;
  return code[at] === 0xff && ((code[at + 1] ?? 0) & 0xf8) === 0xe0;
}

/** The register of `call *%reg` or `jmp *%reg`, with prefixes and with LFENCE before it, then nothing; behind a Jcc that jumps over it. */
function indirectRegister(live: Uint8Array): number | undefined {
  let at = 0;
  if (((live[0] ?? 0) & 0xf0) === 0x70) at = 2;
  if (is(live.subarray(at), 0x0f, 0xae, 0xe8)) at += 3;
  let extended = 0;
  for (; live[at] === 0x2e || live[at] === 0x41; at++) if (live[at] === 0x41) extended = 8;
  const operand = live[at + 1] ?? 0;
  if (live[at] !== 0xff) return undefined;
  const register = (operand & 7) + extended;
  // What is behind a jump is never reached: INT3 against speculation.
  if ((operand & 0xf8) === 0xe0)
    return areNops(live, live[at + 2] === 0xcc ? at + 3 : at + 2) ? register : undefined;
  return (operand & 0xf8) === 0xd0 && areNops(live, at + 2) ? register : undefined;
}

/** With call-depth tracking: a call of the padding before the function, which counts and falls into it (callthunks_patch). */
function isCallThunk({ at }: PatchSite, live: Uint8Array, original: Uint8Array): boolean {
  const [now, was] = [branchTarget(live, at), branchTarget(original, at)];
  return (
    live[0] === 0xe8 && now !== undefined && was !== undefined && now <= was && was - now <= MOST_PADDING
  );
}
/** CONFIG_FUNCTION_PADDING_BYTES is 16, with 64 for kCFI and alignment at most. */
const MOST_PADDING = 64;

/** The value that the variable has in the guest; an address of the kernel's half, or USER_PTR_MAX, where the dump lacks that. */
function isRuntimeConstant(
  { variable }: PatchSite,
  live: Uint8Array,
  { image, live: read }: SiteContext,
): boolean {
  const at = variable === undefined ? undefined : image.symbols.named(variable);
  const value = at === undefined ? undefined : read(at, live.length);
  if (value !== undefined) return value.every((byte, index) => byte === live[index]);
  return live.length === 1 ? (live[0] ?? 0) < 64 : isPointer(live);
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

/** Where the pointer lies that `call *pv_ops+OFFSET`, absolute or relative to RIP, calls through. */
function slotOf(code: Uint8Array, at: ImageAddress): ImageAddress | undefined {
  if (is(code, 0xff, 0x14, 0x25)) return int32(code, 3);
  return is(code, 0xff, 0x15) ? at + 6 + int32(code, 2) : undefined;
}

/** A call of the function that `pv_ops` has where one through it was; or what it does, in place. */
function isParavirt(
  at: ImageAddress,
  live: Uint8Array,
  slot: ImageAddress | undefined,
  context: SiteContext,
): boolean {
  if (slot === undefined) return false;
  if (live[0] === 0xe8 || live[0] === 0xe9) {
    const target = branchTarget(live, at);
    return target !== undefined && target === context.pointer(slot) && areNops(live, 5);
  }
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
    leadsTo(replacement.subarray(offset), other + offset, context, RETURN_THUNKS);
  if (isMoved(live, replacement, other - at, returns) && areNops(live, otherSize)) return true;
  if (samePadded(live, original)) return true;
  // JMP rel32 of the replacement, as short as it can be, then NOPs or INT3 (recompute_jump, apply_reloc).
  const short = branchTarget(live, at);
  const isShort = live[0] === 0xeb && replacement[0] === 0xe9 && (isTraps(live, 2) || areNops(live, 2));
  if (isShort && short === other + 5 + int32(replacement, 1)) return true;
  // Sites of other kinds may lie in the replacement, and were patched there.
  if (replacement.length === 0) return false;
  const codes = [
    [original, at],
    [replacement, other],
  ] as const;
  return codes.some(
    ([code, from]) =>
      isParavirt(at, live, slotOf(code, from), context) ||
      isRetpoline(at, live, registerOf(code, from, context), context) ||
      (leadsTo(code, from, context, RETURN_THUNKS) && isReturn(site, live, context)),
  );
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
