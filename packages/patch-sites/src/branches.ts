import type { ImageAddress, ImageRange, ImageView } from './image-view.ts';
import { branchTarget } from './instructions.ts';
import type { PatchSite } from './patch-site.ts';

/** What a site is looked at with. */
export interface SiteContext {
  readonly image: ImageView;
  readonly text: ImageRange;
  /** 8 bytes of the guest's memory, as an address. */
  readonly pointer: (at: ImageAddress) => ImageAddress | undefined;
  /** Any bytes of the guest's memory. */
  readonly live: (at: ImageAddress, length: number) => Uint8Array | undefined;
  /** Code that eBPF made, by the guest's own account: functions may be led there. */
  readonly bpf: readonly ImageRange[];
}

/** __x86_return_thunk, srso_, srso_alias_, retbleed_, call_depth_, its_return_thunk. */
export const RETURN_THUNKS = /^\w+_return_thunk$/;

/** Whether a branch leads to a symbol of the image that `names` matches. */
export function leadsTo(live: Uint8Array, at: ImageAddress, { image }: SiteContext, names: RegExp): boolean {
  const target = branchTarget(live, at);
  return target !== undefined && image.symbols.at(target).some((name) => names.test(name));
}

/** Whether `at` lies in the image's code. */
export function isInText({ text }: SiteContext, at: ImageAddress): boolean {
  return at >= text.start && at < text.end;
}

/** RET with INT3 behind it, or a jump to a return thunk. */
export function isReturn(site: PatchSite, live: Uint8Array, context: SiteContext): boolean {
  if (live[0] === 0xc3) return live.subarray(1).every((byte) => byte === 0xcc);
  return live[0] === 0xe9 && leadsTo(live, site.at, context, RETURN_THUNKS);
}
