import { type Gfn, type VirtualAddress, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { mappingAt } from '../mapping-at.ts';
import { Rights } from '../rights.ts';
import { extentsOfFrames } from '../within.ts';

/** `CPU_ENTRY_AREA_RO_IDT`, with and without KASLR. */
export const IDT_ADDRESS = virtualAddress(0xffff_fe00_0000_0000n);

/** Where IDTR of each CPU leads, and where Linux has the table: a dump may have no registers. */
export function idtAddresses({ cpus }: AuditedKernel): (VirtualAddress | undefined)[] {
  return [IDT_ADDRESS, ...cpus.map(({ idt }) => idt)];
}

export function isWritable({ rights }: FrameExtent): boolean {
  return (rights & Rights.WRITE) !== 0;
}

/** The frames that `addresses` lead to, each once. */
export function framesAt(
  { mappings, extents }: AuditedKernel,
  addresses: readonly (VirtualAddress | undefined)[],
): FrameExtent[] {
  const frames = new Set<Gfn>();
  for (const address of addresses) {
    if (address === undefined || address === 0n) continue;
    const virtual = virtualFrameOf(address);
    const leaf = mappingAt(mappings, virtual);
    if (leaf !== undefined) frames.add((leaf.guestFrame + (virtual - leaf.virtualFrame)) as Gfn);
  }
  return extentsOfFrames(extents, frames);
}
