import type { VirtualAddress } from '@heki/physical-memory';
import type { Vmcoreinfo } from '@heki/vmcore';

/** How far KASLR moved a kernel's image. */
export interface KaslrOffset {
  /** In bytes. */
  readonly offset: bigint;
  /** `default-link-address`: as seen from 0xffffffff81000000, where kernels are linked whose configuration does not say otherwise. */
  readonly from: 'vmcoreinfo' | 'symbols' | 'default-link-address';
}

/** `__START_KERNEL` with the default CONFIG_PHYSICAL_START, where `_text` is linked. */
const DEFAULT_TEXT = 0xffff_ffff_8100_0000n;

/**
 * How far the image was moved, by VMCOREINFO, by how far the symbols of a file had to be moved, or by where kernels are linked.
 *
 * @param text where `_text` is
 * @param moved from where a file has symbols to where they are
 */
export function kaslrOffset(
  vmcoreinfo: Vmcoreinfo | undefined,
  text: VirtualAddress | undefined,
  moved?: bigint,
): KaslrOffset | undefined {
  const told = vmcoreinfo?.kernelOffset;
  if (told !== undefined) return { offset: told, from: 'vmcoreinfo' };
  if (moved !== undefined) return { offset: moved, from: 'symbols' };
  return text === undefined ? undefined : { offset: text - DEFAULT_TEXT, from: 'default-link-address' };
}
