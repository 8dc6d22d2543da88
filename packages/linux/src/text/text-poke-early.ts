import type { VirtualAddress } from '@heki/physical-memory';
import type { TextPatch } from './text-patch.ts';
import { textPokeBatch } from './text-poke-batch.ts';
import type { TextState } from './text-state.ts';

/**
 * `text_poke_early`: a plain copy, while text can still be written: before the kernel's own is locked, and to a module that is
 * being loaded. Heki has no part in it.
 *
 * @throws {KernelStop} when the store does not complete
 */
export function textPokeEarly(kernel: TextState, address: VirtualAddress, bytes: Uint8Array): void {
  kernel.memory.store(address, bytes);
}

/**
 * Patches instructions as jump labels and static calls do: `text_poke_early` while `system_state` is SYSTEM_BOOTING, when nothing else
 * runs yet, {@link textPokeBatch} afterwards.
 *
 * @throws {KernelStop} as the one or the other
 */
export function patchInstructions(kernel: TextState, patches: readonly TextPatch[]): void {
  if (!kernel.booting) textPokeBatch(kernel, patches);
  else for (const { address, bytes } of patches) textPokeEarly(kernel, address, bytes);
}
