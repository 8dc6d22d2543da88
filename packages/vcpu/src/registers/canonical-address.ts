import type { VirtualFrame } from '@heki/physical-memory';
import { type CpuProfile, CR4, isCanonical, type PagingLevels } from '@heki/x86';

/** Whether a 64-bit value is a canonical linear address under 4- or 5-level paging: what an access or a jump asks. */
export function isCanonicalAddress(value: bigint, levels: PagingLevels): boolean {
  return isCanonical(Number(value >> 12n) as VirtualFrame, levels);
}

/**
 * Whether a register takes a 64-bit value as an address: MSRs, bases of descriptor tables and of the segments in them, and the address of
 * INVPCID. Whether 57 bits count goes by what the processor can do, whatever CR4.LA57 is (SDM 2B WRMSR; for the others Linux since 6.13,
 * max_host_virt_addr_bits(), after trials on hardware).
 */
export function fitsRegister(value: bigint, processor: CpuProfile): boolean {
  return isCanonicalAddress(value, (processor.cr4 & CR4.LA57) === 0n ? 4 : 5);
}
