import type { VirtualAddress } from '@heki/physical-memory';
import type { KernelState } from '../kernel-state.ts';
import { KernelStop } from '../outcome.ts';
import { textPoke } from './text-poke.ts';

/** An instruction that replaces another of the same length. */
export interface TextPatch {
  readonly address: VirtualAddress;
  /** 1 to 15 bytes. */
  readonly bytes: Uint8Array;
}

/** int3: whoever comes to a site while it is patched goes to the breakpoint handler instead. */
const INT3 = Uint8Array.of(0xcc);

/**
 * `text_poke_bp_batch`: replaces instructions that other processors may be executing. First every site begins with int3, then
 * the rest of each instruction follows, then its first byte: three pokes for a site.
 *
 * @throws {KernelStop} when a poke does not succeed. After an error, which is Heki's refusal, sites that begin with int3 get
 * their first byte back; Linux, where no poke can be refused, has nothing like it.
 */
export function textPokeBatch(kernel: KernelState, patches: readonly TextPatch[]): void {
  const opened: TextPatch[] = [];
  try {
    for (const { address } of patches) {
      const first = kernel.memory.load(address, 1);
      textPoke(kernel, address, INT3);
      opened.push({ address, bytes: first });
    }
    for (const { address, bytes } of patches) {
      if (bytes.length > 1) textPoke(kernel, (address + 1n) as VirtualAddress, bytes.subarray(1));
    }
    for (const { address, bytes } of patches) textPoke(kernel, address, bytes.subarray(0, 1));
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      for (const { address, bytes } of opened) textPoke(kernel, address, bytes);
    }
    throw stop;
  }
}
