import type { CodeAuthority, Site } from '@heki/code-authority';
import type { CodeSiteState } from '@heki/hypercall/kvm';
import type { HekiVmState } from '../vm-state.ts';
import { malformed, type Result, resultOf } from './request-result.ts';

/*
 * What weaker owners of code take beside the requests: hypercall 17 with flags, and sites with hypercall 16. Where none of these variants is switched on
 * all of it is malformed.
 */

const LOW_32 = 0xffff_ffffn;
/** B-A1. RBX: image, page of its first part in the upper half; RDX: 1 to open it, 0 to close it. */
const OPEN_TEXT = 1n;
/** B-A2. RBX: image, site in the upper half; RDX: offset, length and up to four bytes, from the low byte on. */
const PATCH_STEP = 2n;

/** Hypercall 17 with flags. */
export function weakerRequest(
  vm: HekiVmState,
  authority: CodeAuthority,
  { flags, what, more }: { readonly flags: bigint; readonly what: bigint; readonly more: bigint },
): Result {
  const { codeDefects } = vm.options;
  const image = Number(what & LOW_32);
  const index = Number(what >> 32n);
  if (flags === OPEN_TEXT && codeDefects['B-A1'])
    return resultOf(authority.openText(image, 0, index, more === 1n));
  if (flags === PATCH_STEP && codeDefects['B-A2']) {
    const [offset = 0, length = 0] = [Number(more & 0xffn), Number((more >> 8n) & 7n)];
    const bytes = Uint8Array.from({ length }, (_, at) => Number((more >> BigInt(16 + 8 * at)) & 0xffn));
    return resultOf(authority.patchStep(image, index, offset, bytes));
  }
  return malformed(`unknown flags ${flags}`);
}

/** B-A3: jump labels of five bytes in the first part, by their offsets and those of their targets. */
export function forgedSites(vm: HekiVmState, states: readonly CodeSiteState[]): readonly Site[] | undefined {
  if (!vm.options.codeDefects['B-A3'] || states.length === 0) return undefined;
  return states.map(({ site, state }) => ({
    kind: 'jump-label',
    at: { part: 0, offset: site },
    length: 5,
    key: 'forged',
    target: { part: 0, offset: state },
  }));
}
