import type { Gfn } from '@heki/physical-memory';
import type { AuditedKernel } from './audited-kernel.ts';
import type { FrameExtent } from './frame-extents.ts';
import { Rights } from './rights.ts';

/** VMCALL; RET and VMMCALL; RET (SDM Vol. 2, APM Vol. 3), as one little-endian word. */
const CALLS: readonly number[] = [0xc3c1_010f, 0xc3d9_010f];
/** Behind the calls, in the first 128 bytes, there is nothing: zeros, NOP or INT3. */
const CODE_WORDS = 32;
const FILLERS: readonly number[] = [0, 0x9090_9090, 0xcccc_cccc];

/**
 * Whether `extent` is the page by which a guest of Hyper-V calls its hypervisor (`hv_hypercall_pg`): one page that vmalloc alone maps
 * executable, over which the hypervisor lays its own. Linux leaves its alias in the direct map writable. A page whose contents the
 * dump lacks is not one.
 */
export function isHypercallPage({ tables, hypercallPage }: AuditedKernel, extent: FrameExtent): boolean {
  if (extent.end - extent.start !== 1 || extent.mappingCount > extent.mappings.length) return false;
  const executable = extent.mappings.filter(({ rights }) => (rights & Rights.EXECUTE) !== 0);
  const only = executable[0];
  if (executable.length !== 1 || !only?.region.startsWith('vmalloc') || (only.rights & Rights.WRITE) !== 0) {
    return false;
  }
  const words = tables.memory.page(extent.start);
  if (words === undefined) return extent.start === hypercallPage;
  if (!CALLS.includes(words[0] ?? 0)) return false;
  for (let index = CODE_WORDS; index < words.length; index++) {
    if (!FILLERS.includes(words[index] ?? 0)) return false;
  }
  return true;
}

/** The frame of that page, for who makes an extract without contents; `undefined` where there is none, or more than one. */
export function hypercallPageOf(kernel: AuditedKernel): Gfn | undefined {
  const pages = kernel.extents.filter((extent) => isHypercallPage(kernel, extent));
  return pages.length === 1 ? pages[0]?.start : undefined;
}
