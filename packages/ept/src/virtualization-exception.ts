import {
  addressOf,
  type Gpa,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  readU32,
  type VirtualAddress,
  writeU32,
  writeU64,
} from '@heki/physical-memory';

/** Byte offsets in the virtualization-exception information area (SDM 3C 26.5.7.2, table 26-1). */
export const VeInformation = {
  /** u32: what the exit reason would have been, 48. */
  EXIT_REASON: 0,
  /** u32: all ones once delivered; the guest writes 0 when it can take the next #VE. */
  BUSY: 4,
  /** u64 */
  EXIT_QUALIFICATION: 8,
  /** u64 */
  GUEST_LINEAR_ADDRESS: 16,
  /** u64 */
  GUEST_PHYSICAL_ADDRESS: 24,
  /** u16: the EPTP index, by which a guest that switches EPTPs knows which one was in use. */
  EPTP_INDEX: 32,
} as const;

/** A convertible EPT violation on its way to become #VE. */
export interface VeDelivery {
  readonly qualification: number;
  readonly gpa: Gpa;
  readonly gla: VirtualAddress;
  /** The VMCS field that VMFUNC EPTP switching keeps. */
  readonly eptpIndex: number;
  /** CR0.PE of the guest. */
  readonly protectedMode: boolean;
  /** The violation happened while an event was delivered through the IDT. */
  readonly deliveringEvent: boolean;
}

/**
 * Makes #VE (vector 20) of a convertible EPT violation, if the conditions of SDM 3C 26.5.7.1 hold: fills the information
 * area in frame `area` of host `memory` and returns `true`. Otherwise nothing is written and the violation exits.
 *
 * @param violation one whose fault says `convertible`
 */
export function deliverVe(memory: PhysicalMemory<Pfn>, area: Pfn, violation: VeDelivery): boolean {
  const base = addressOf(area);
  const at = (offset: number): Hpa => (base + offset) as Hpa;
  if (!violation.protectedMode || violation.deliveringEvent) return false;
  if (readU32<Pfn>(memory, at(VeInformation.BUSY)) !== 0) return false;
  writeU32<Pfn>(memory, at(VeInformation.EXIT_REASON), 48);
  writeU32<Pfn>(memory, at(VeInformation.BUSY), 0xffff_ffff);
  const wide = (offset: number, value: bigint): void => {
    writeU64<Pfn>(memory, at(offset), { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) });
  };
  wide(VeInformation.EXIT_QUALIFICATION, BigInt(violation.qualification));
  wide(VeInformation.GUEST_LINEAR_ADDRESS, violation.gla);
  wide(VeInformation.GUEST_PHYSICAL_ADDRESS, BigInt(violation.gpa));
  const index = readU32<Pfn>(memory, at(VeInformation.EPTP_INDEX)) ?? 0;
  writeU32<Pfn>(memory, at(VeInformation.EPTP_INDEX), (index & 0xffff_0000) | (violation.eptpIndex & 0xffff));
  return true;
}
