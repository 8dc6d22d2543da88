import type { ImageAddress, ImageRange, ImageView } from '../image-view.ts';
import { branchTarget, int32 } from '../instructions.ts';
import type { PatchSite } from '../patch-site.ts';
import { readSites } from '../read-sites.ts';
import { applyAlternatives } from './alternatives.ts';
import type { BootVector } from './boot-vector.ts';
import { branch } from './branch.ts';
import { FEATURES, has } from './features.ts';
import { fillNops, nop } from './nops.ts';
import { rewriteRetpoline } from './retpolines.ts';
import { styleOf, type TextBuilder, textBuilder } from './text-builder.ts';

/**
 * Makes the code of a running kernel from its image and the boot vector alone: moved as the image is, every site as Linux leaves it, in Linux's order
 * (alternative_instructions). Nothing of it is read from the guest.
 *
 * @param text what is executed: sites elsewhere are left out where nothing there is copied into it
 * @param core the kernel's own image, where `image` is a module's: it tells how this version patches
 */
export function buildText(
  image: ImageView,
  text: ImageRange,
  vector: BootVector,
  core: ImageView = image,
): ImageView {
  const builder = textBuilder(image, vector, styleOf(core));
  const all: ImageRange = { start: -(2 ** 31), end: 0 };
  const byKind = new Map<string, PatchSite[]>();
  for (const site of readSites(image, all)) {
    const same = byKind.get(site.kind);
    if (same === undefined) byKind.set(site.kind, [site]);
    else same.push(site);
  }
  const of = (kind: PatchSite['kind']): readonly PatchSite[] => byKind.get(kind) ?? [];
  // Early in boot, before any mitigation is known.
  for (const site of of('static call')) staticCall(builder, site);
  for (const site of of('ftrace')) traced(builder, site);
  for (const site of of('ftrace callback')) callback(builder, site);
  // alternative_instructions().
  for (const site of of('paravirt')) paravirt(builder, site);
  for (const site of of('retpoline')) rewriteRetpoline(builder, site);
  for (const site of of('return thunk')) returned(builder, site);
  applyAlternatives(builder, of('alternative'));
  for (const { at } of of('endbr seal')) builder.write(at, builder.style.endbrPoison);
  if (vector.oneProcessor) {
    for (const { at } of of('smp lock')) {
      const isInText = at >= text.start && at < text.end;
      // An alternative may have taken its place.
      if (isInText && builder.bytes(at, 1)?.[0] === LOCK) builder.write(at, [DS]);
    }
  }
  for (const site of of('jump label')) jumpLabel(builder, site);
  for (const site of of('runtime constant')) constant(builder, site);
  return builder.image;
}

const [CALL, JMP8, JMP32, RET, INT3, LOCK, DS] = [0xe8, 0xeb, 0xe9, 0xc3, 0xcc, 0xf0, 0x3e];
/** xor5rax of arch/x86/kernel/static_call.c: since Linux 6.1 by CS prefixes. */
const RETURN_ZERO = [0x2e, 0x2e, 0x2e, 0x31, 0xc0];

/** apply_returns: the thunk that the boot chose, or a return with INT3 behind it. */
function returned(builder: TextBuilder, { at, size }: PatchSite): void {
  const now = builder.bytes(at, size);
  const target = now && branchTarget(now, at);
  // Static calls and alternatives may have taken its place.
  if (target === undefined || target !== builder.symbol('__x86_return_thunk')) return;
  const bytes = returnBytes(builder, at);
  if (bytes !== undefined) builder.write(at, bytes);
}

/** A return at `at`; `undefined` where the image's own stays. */
function returnBytes({ vector, symbol }: TextBuilder, at: ImageAddress): number[] | undefined {
  const isThunk = has(vector.capabilities, FEATURES.RETHUNK);
  const isIts = vector.returnThunk === 'its_return_thunk';
  // cpu_wants_rethunk_at: of a cache line's upper half the ITS thunk is not needed.
  if (!isThunk || (isIts && (at & 0x20) !== 0)) return [RET, INT3, INT3, INT3, INT3];
  const thunk = symbol(vector.returnThunk);
  if (thunk === undefined || vector.returnThunk === '__x86_return_thunk') return undefined;
  return branch(JMP32, at, thunk);
}

/** apply_paravirt: the call of what pv_ops has; _paravirt_nop is nothing, and where it has none paravirt_BUG is called. */
function paravirt(builder: TextBuilder, { at, size }: PatchSite): void {
  const now = builder.bytes(at, size);
  if (now === undefined) return;
  const slot = now[0] === 0xff && now[1] === 0x14 ? int32(now, 3) : at + 6 + int32(now, 2);
  const named = builder.vector.pointers.get(slot);
  const target = named === 0 ? builder.symbol('paravirt_BUG') : named;
  if (target === undefined) return;
  const code = new Uint8Array(size);
  const isNop = target === builder.symbol('_paravirt_nop');
  if (!isNop) code.set(branch(CALL, at, target));
  fillNops(code, isNop ? 0 : 5, size, builder.style.nops);
  builder.write(at, code);
}

function jumpLabel(builder: TextBuilder, { at, size, other = 0 }: PatchSite): void {
  const jumps = builder.vector.sites.get(at) === 'jumps';
  const distance = other - at - 2;
  const jump = size === 2 ? [JMP8, distance & 255] : branch(JMP32, at, other);
  builder.write(at, jumps ? jump : nop(size));
}

/** Calls of __fentry__ are NOPs, but for functions that are traced. */
function traced(builder: TextBuilder, { at }: PatchSite): void {
  const state = builder.vector.sites.get(at);
  builder.write(at, typeof state === 'object' ? branch(CALL, at, state.calls) : nop(5));
}

function callback(builder: TextBuilder, { at }: PatchSite): void {
  const state = builder.vector.sites.get(at);
  if (typeof state === 'object') builder.write(at, branch(CALL, at, state.calls));
}

/** __static_call_transform of what the call's key has. */
function staticCall(builder: TextBuilder, { at, key, size }: PatchSite): void {
  const { vector, symbol } = builder;
  const now = builder.bytes(at, size);
  const target = key === undefined ? undefined : vector.calls.get(key);
  if (now === undefined || target === undefined) return;
  const isTail = now[0] !== CALL;
  const isNone = target === 0;
  if (size === 6) {
    const to = isNone ? (symbol('__static_call_return') ?? 0) : target;
    builder.write(at + 1, branch(now[1] ?? 0, at + 1, to));
  } else if (isNone && isTail) {
    const byThunk = vector.sites.get(at) === 'jumps' ? returnBytes(builder, at) : undefined;
    builder.write(at, byThunk ?? [RET, INT3, INT3, INT3, INT3]);
  } else if (isNone) builder.write(at, nop(5));
  else if (!isTail && target === symbol('__static_call_return0')) builder.write(at, RETURN_ZERO);
  else builder.write(at, branch(isTail ? JMP32 : CALL, at, target));
}

function constant(builder: TextBuilder, { at, size, variable = '' }: PatchSite): void {
  const value = builder.vector.constants.get(variable);
  if (value === undefined) return;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  builder.write(at, bytes.subarray(0, size));
}
