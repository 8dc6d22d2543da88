import type { VirtualAddress } from '@heki/physical-memory';
import type { KernelState } from '../kernel-state.ts';
import { callTo, jumpTo, NOP5 } from '../text/instructions.ts';
import type { TextPatch } from '../text/text-poke-batch.ts';
import { patchInstructions } from '../text/text-poke-early.ts';

/** Where a taken branch goes: its out-of-line part, which this model does not have; any near place serves. */
const OUT_OF_LINE = 0x100n;

/** What jump labels become when their key is enabled, or when it is not. */
export function staticKeyPatches(sites: readonly VirtualAddress[], enabled: boolean): TextPatch[] {
  return sites.map((address) => ({
    address,
    bytes: enabled ? jumpTo(address, (address + OUT_OF_LINE) as VirtualAddress) : NOP5,
  }));
}

/** What static calls become that call `target`. */
export function staticCallPatches(sites: readonly VirtualAddress[], target: VirtualAddress): TextPatch[] {
  return sites.map((address) => ({ address, bytes: callTo(address, target) }));
}

/**
 * `static_key_enable` and `static_key_disable` (jump labels): at each site a no-op becomes a jump, or the reverse, in one batch.
 *
 * @throws {KernelStop} when a poke does not succeed
 */
export function setStaticKey(kernel: KernelState, sites: readonly VirtualAddress[], enabled: boolean): void {
  patchInstructions(kernel, staticKeyPatches(sites, enabled));
}

/** `static_call_update`: site by site, as `__static_call_transform` does. @throws {KernelStop} when a poke does not succeed */
export function updateStaticCall(
  kernel: KernelState,
  sites: readonly VirtualAddress[],
  target: VirtualAddress,
): void {
  for (const patch of staticCallPatches(sites, target)) patchInstructions(kernel, [patch]);
}
