import type { VirtualFrame } from '@heki/physical-memory';
import { isCanonical, type PagingLevels } from '@heki/x86';

/** Whether a 64-bit value is a canonical linear address under 4- or 5-level paging. */
export function isCanonicalAddress(value: bigint, levels: PagingLevels): boolean {
  return isCanonical(Number(value >> 12n) as VirtualFrame, levels);
}
