import { Errno } from '@heki/hypercall/errno';
import { PAGE_SIZE, type VirtualAddress, virtualAddressOf, virtualFrameOf } from '@heki/physical-memory';
import { mappedFrames } from '../mm/mapped-frames.ts';
import { completed } from '../mm/vcpu-memory.ts';
import { fail } from '../outcome.ts';
import { mapAlias, onTemporaryMm, unmapAlias } from './text-poke.ts';
import type { TextState } from './text-state.ts';

/**
 * Stores `bytes` over data that the kernel has made read-only for itself, as text_poke does over text: in the temporary address space, within
 * a page. Linux has no such function; Heki is not told, whose variables alone are written so, before it protects memory.
 *
 * @throws {KernelStop} when an access does not complete, as those to memory that the second level has made immutable
 */
export function pokeReadOnlyData(kernel: TextState, address: VirtualAddress, bytes: Uint8Array): void {
  const { poking, vcpu } = kernel;
  if (poking === undefined) fail(Errno.EINVAL, 'text patching is not set up yet');
  const frames = mappedFrames(kernel, virtualFrameOf(address), 1);
  const alias = (virtualAddressOf(poking.address) + (address % BigInt(PAGE_SIZE))) as VirtualAddress;
  mapAlias(poking, frames);
  completed(vcpu.cli(), 'instruction', vcpu.registers.rip);
  onTemporaryMm(kernel, poking, () => kernel.memory.store(alias, bytes));
  completed(vcpu.sti(), 'instruction', vcpu.registers.rip);
  unmapAlias(poking, frames);
}
