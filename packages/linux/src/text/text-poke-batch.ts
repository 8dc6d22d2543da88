import type { VirtualAddress } from '@heki/physical-memory';
import { pokeSites } from '../code/sealed-code.ts';
import { KernelStop } from '../outcome.ts';
import { INT3 } from './instructions.ts';
import { closeDescriptor, MOST_LOCATIONS, openDescriptor } from './poke-descriptor.ts';
import type { TextPatch } from './text-patch.ts';
import { textPoke } from './text-poke.ts';
import type { TextState } from './text-state.ts';

/** A patch, and what lay there before. */
interface Site extends TextPatch {
  readonly original: Uint8Array;
}

/**
 * `text_poke_queue` and `text_poke_bp_batch`: replaces instructions that other processors may be executing. First every site begins
 * with int3, then the rest of each instruction follows, then its first byte: three pokes for a site. Who comes to a site meanwhile goes to the
 * breakpoint handler, which is told beforehand what will stand there. At most 256 sites in ascending order go together; the handler searches them. Where code is sealed its owner changes them, in one step.
 *
 * @throws {KernelStop} when a poke does not succeed. After an error, which is Heki's refusal, the sites that went together are as
 * they were, and those before them stay patched; Linux, where no poke can be refused, has nothing like it.
 */
export function textPokeBatch(kernel: TextState, patches: readonly TextPatch[]): void {
  const { sealed } = kernel;
  if (sealed !== undefined) {
    pokeSites(kernel, sealed, patches);
    return;
  }
  for (let first = 0; first < patches.length; ) {
    let end = first + 1;
    while (end < patches.length && end - first < MOST_LOCATIONS && follows(patches, end)) end++;
    patchTogether(kernel, patches.slice(first, end));
    first = end;
  }
}

/** Whether a patch lies behind the one before it. */
function follows(patches: readonly TextPatch[], index: number): boolean {
  const [before, patch] = patches.slice(index - 1, index + 1);
  return before !== undefined && patch !== undefined && patch.address > before.address;
}

function patchTogether(kernel: TextState, patches: readonly TextPatch[]): void {
  const sites = patches.map((patch) => {
    return { ...patch, original: kernel.memory.load(patch.address, patch.bytes.length) };
  });
  openDescriptor(kernel, patches);
  const opened: Site[] = [];
  const changed: Site[] = [];
  try {
    for (const site of sites) {
      textPoke(kernel, site.address, Uint8Array.of(INT3));
      opened.push(site);
    }
    for (const site of sites) {
      pokeTail(kernel, site, site.bytes);
      changed.push(site);
    }
    for (const site of sites) {
      if (site.bytes[0] !== INT3) textPoke(kernel, site.address, site.bytes.subarray(0, 1));
    }
    closeDescriptor(kernel);
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      for (const site of changed) pokeTail(kernel, site, site.original);
      for (const { address, original } of opened) textPoke(kernel, address, original.subarray(0, 1));
      closeDescriptor(kernel);
    }
    throw stop;
  }
}

/** All but the first byte of an instruction. */
function pokeTail(kernel: TextState, { address }: TextPatch, bytes: Uint8Array): void {
  if (bytes.length > 1) textPoke(kernel, (address + 1n) as VirtualAddress, bytes.subarray(1));
}
