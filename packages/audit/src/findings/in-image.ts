import { imageAddress, imageVirtualAddress } from '@heki/patch-sites';
import { type Gfn, virtualFrameOf } from '@heki/physical-memory';
import { mappedFrame } from '@heki/vmcore';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { extentsOfFrames } from '../within.ts';

/** `image+0x2010`, which no KASLR moves. */
export function offsetOf(kernel: AuditedKernel, address: number): string {
  return `image+0x${(address - imageStart(kernel)).toString(16)}`;
}

/** Where the image starts, as the signed number that `@heki/patch-sites` has addresses as. */
function imageStart({ sections: { image } }: AuditedKernel): number {
  return imageAddress(BigInt(image.start) * 4096n);
}

/** The frames of `addresses` with all that maps them. */
export function extentsOfImage(
  { tables, extents }: AuditedKernel,
  addresses: Iterable<number>,
): readonly FrameExtent[] {
  const frames = new Set<Gfn>();
  for (const address of addresses) {
    const frame = mappedFrame(tables, virtualFrameOf(imageVirtualAddress(address)));
    if (frame !== undefined) frames.add(frame);
  }
  return extentsOfFrames(
    extents,
    [...frames].sort((a, b) => a - b),
  );
}
