import { isReturn, type SiteContext } from './branches.ts';
import type { ImageAddress } from './image-view.ts';
import { areNops, branchTarget, is } from './instructions.ts';
import type { PatchSite } from './patch-site.ts';

/**
 * What a static call's site leads to:
 *
 * - `named`: the function that the image has in its key
 * - `updated`: what only the guest's memory names, its key or nothing at all; Linux writes that by static_call_update(), and so may
 *   whoever can write the key
 * - `no`: neither, or not the start of a function
 */
export type StaticCallJudgement = 'named' | 'updated' | 'no';

/** Looks up what `struct static_call_key` holds first: the function, 0 for none. */
export function isStaticCall(site: PatchSite, live: Uint8Array, context: SiteContext): StaticCallJudgement {
  const { image, text, pointer } = context;
  const target = staticCallTarget(site, live, context);
  if (target === undefined) return 'no';
  const isInText = target >= text.start && target < text.end;
  if (isInText && image.symbols.at(target).length === 0) return 'no';
  const key = keyOf(site, context);
  const now = key === undefined ? undefined : pointer(key);
  if (key === undefined || now === undefined) return 'updated';
  const none = image.symbols.named('__static_call_return');
  // A conditional tail call of nothing leads to a function that returns.
  if (target !== now && !(now === 0 && target === none)) return 'no';
  const bytes = image.bytes(key, 8);
  if (bytes === undefined) return 'updated';
  const first = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true);
  return Number(first) === now ? 'named' : 'updated';
}

/** A module that may not see the key of a call names its trampoline instead (EXPORT_STATIC_CALL_TRAMP). */
function keyOf({ key }: PatchSite, { image: { symbols } }: SiteContext): ImageAddress | undefined {
  const trampoline =
    key === undefined ? undefined : symbols.at(key).find((name) => name.startsWith('__SCT__'));
  return trampoline === undefined ? key : symbols.named(`__SCK__${trampoline.slice('__SCT__'.length)}`);
}

/**
 * The function that `live` calls: 0 for none, which is NOP or a return; `undefined` when it is no static call's. A call of
 * __static_call_return0 is `xor eax, eax`, 5 bytes long by prefixes.
 */
export function staticCallTarget(
  site: PatchSite,
  live: Uint8Array,
  context: SiteContext,
): ImageAddress | undefined {
  if (areNops(live) || isReturn(site, live, context)) return 0;
  if (is(live, 0x66, 0x66, 0x48, 0x31, 0xc0) || is(live, 0x2e, 0x2e, 0x2e, 0x31, 0xc0))
    return context.image.symbols.named('__static_call_return0');
  return branchTarget(live, site.at);
}
