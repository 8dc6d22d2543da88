import type { VirtualAddress } from '@heki/physical-memory';
import { patchInstructions } from '../text/text-poke-early.ts';
import type { TextState } from '../text/text-state.ts';
import { staticCallPatches, staticKeyPatches } from './site-patches.ts';

/**
 * `static_key_enable` and `static_key_disable` (jump labels): at each site a no-op becomes a jump, or the reverse, in one batch.
 *
 * @throws {KernelStop} when a poke does not succeed
 */
export function setStaticKey(kernel: TextState, sites: readonly VirtualAddress[], enabled: boolean): void {
  patchInstructions(kernel, staticKeyPatches(sites, enabled));
}

/** `static_call_update`: site by site, as `__static_call_transform` does. @throws {KernelStop} when a poke does not succeed */
export function updateStaticCall(
  kernel: TextState,
  sites: readonly VirtualAddress[],
  target: VirtualAddress,
): void {
  for (const patch of staticCallPatches(sites, target)) patchInstructions(kernel, [patch]);
}
