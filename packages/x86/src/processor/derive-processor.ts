import { type BitTable, bitNames } from '../bit-table.ts';
import { CR4, CR4_BITS, EFER, EFER_BITS } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { AMD_ZEN4, INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import type { TableSurvey } from './survey-tables.ts';

/** What a stopped guest tells of its processor. */
export interface ProcessorEvidence {
  readonly registers: Pick<PagingRegisters, 'cr4' | 'efer'>;
  readonly tables: TableSurvey;
  /** The C-bit, where memory encryption is on. */
  readonly encryptionBit?: number | undefined;
}

/** The processor that a guest is taken to run on. */
export interface DerivedProcessor {
  readonly cpu: CpuProfile;
  /** What only processors of its vendor have and the guest uses: `EFER.SVME`. Empty: the vendor was taken without a reason. */
  readonly vendorBits: readonly string[];
  /** What the guest uses and the profile that was named, or taken as the base, lacks: `CR4.VMXE`, `1-GiB pages`. */
  readonly lacking: readonly string[];
}

/** Bits that only processors of one vendor, or who follow it, can set. CET and FRED are both vendors'. */
const INTEL_CR4: bigint = CR4.VMXE | CR4.SMXE | CR4.KL | CR4.PKS | CR4.UINTR | CR4.LASS | CR4.LAM_SUP;
const AMD_EFER: bigint =
  EFER.SVME | EFER.LMSLE | EFER.FFXSR | EFER.TCE | EFER.MCOMMIT | EFER.INTWB | EFER.UAIE | EFER.AIBRSE;

/**
 * The processor of a stopped guest: a named one, or else the vendor's usual one with all that the guest uses. Bits that are set
 * in a register can be set, whatever profile was named: a processor without them could not have got there.
 */
export function deriveProcessor(evidence: ProcessorEvidence, named?: CpuProfile): DerivedProcessor {
  const { registers, tables, encryptionBit } = evidence;
  const intelBits = namesOf('CR4', CR4_BITS, registers.cr4 & INTEL_CR4);
  const amdBits = [
    ...namesOf('EFER', EFER_BITS, registers.efer & AMD_EFER),
    ...(encryptionBit === undefined ? [] : ['memory encryption']),
  ];
  const base = named ?? (amdBits.length > 0 && intelBits.length === 0 ? AMD_ZEN4 : INTEL_VT_RP);
  const cpu: CpuProfile = {
    ...base,
    cr4: base.cr4 | registers.cr4,
    efer: base.efer | registers.efer,
    encryptionBit,
    ...(named === undefined
      ? {
          maxPhysicalAddressBits: Math.max(
            Math.min(base.maxPhysicalAddressBits, encryptionBit ?? 52),
            tables.addressBits,
          ),
          gigabytePages: base.gigabytePages || tables.gigabyteLeaves,
        }
      : {}),
  };
  return {
    cpu: cpu,
    vendorBits: base.vendor === 'amd' ? amdBits : intelBits,
    lacking: [
      ...namesOf('CR4', CR4_BITS, registers.cr4 & ~base.cr4),
      ...namesOf('EFER', EFER_BITS, registers.efer & ~base.efer),
      ...(encryptionBit !== undefined && base.vendor !== 'amd' ? ['memory encryption'] : []),
      ...(tables.gigabyteLeaves && !base.gigabytePages ? ['1-GiB pages'] : []),
      ...(tables.addressBits > base.maxPhysicalAddressBits
        ? [`${tables.addressBits} physical-address bits`]
        : []),
    ],
  };
}

/** `CR4.SMEP`, and one text for all bits that have no name. */
function namesOf(register: string, table: BitTable, value: bigint): string[] {
  const names = bitNames(table, value);
  const unnamed = names.reduce((rest, name) => rest & ~(1n << BigInt(table[name]?.bit ?? 0)), value);
  return [
    ...names.map((name) => `${register}.${name}`),
    ...(unnamed === 0n ? [] : [`${register} bits 0x${unnamed.toString(16)}`]),
  ];
}
