import type { VirtualAddress } from '@heki/physical-memory';
import { callTo, jumpTo, NOP5 } from '../text/instructions.ts';
import type { TextPatch } from '../text/text-patch.ts';

/** Where a taken branch goes: its out-of-line part, which this model does not have; any near place serves. */
export const OUT_OF_LINE = 0x100n;

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
