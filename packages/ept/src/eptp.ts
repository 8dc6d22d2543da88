import type { Pfn } from '@heki/physical-memory';
import type { CpuProfile } from '@heki/x86';
import { eptFeatures } from './controls.ts';

/** The EPT pointer, decoded (SDM 3C 25.6.11, table 25-9). */
export interface Eptp {
  /** Memory type for accesses to the tables: 0 UC or 6 WB (bits 2:0). */
  readonly memoryType: 0 | 6;
  /** Page-walk length (bits 5:3, which hold one less). */
  readonly levels: 4 | 5;
  /** Accessed and dirty flags are kept (bit 6). */
  readonly accessedDirty: boolean;
  /** Rights of supervisor shadow-stack pages are enforced (bit 7). */
  readonly supervisorShadowStack: boolean;
  /** The frame of the root table (bits M-1:12). Cached translations are tagged by it alone (SDM 3C 29.4.2). */
  readonly root: Pfn;
}

/** What VM entry, or VMFUNC EPTP switching, finds wrong with an EPTP (SDM 3C 27.2.1.1). */
export type EptpFault = 'memory-type' | 'walk-length' | 'accessed-dirty' | 'reserved-bits';

/**
 * The EPTP register value for tables under `root`. By default they are written back (WB), have 4 levels, keep accessed
 * and dirty flags, and know no supervisor shadow stacks.
 */
export function encodeEptp({
  root,
  memoryType = 6,
  levels = 4,
  accessedDirty = true,
  supervisorShadowStack = false,
}: Pick<Eptp, 'root'> & Partial<Eptp>): bigint {
  return (
    (BigInt(root) << 12n) |
    BigInt(
      memoryType | ((levels - 1) << 3) | (accessedDirty ? 1 << 6 : 0) | (supervisorShadowStack ? 1 << 7 : 0),
    )
  );
}

/**
 * The checks on the EPTP at VM entry, as a value: with a fault VM entry ends in VMfailValid, error 7, and a VMFUNC
 * in a VM exit.
 *
 * @param value the 64-bit register value
 * @throws {EptError} when the processor has no EPT
 */
export function decodeEptp(
  value: bigint,
  processor: CpuProfile,
): { readonly eptp: Eptp; readonly fault?: undefined } | { readonly fault: EptpFault } {
  const features = eptFeatures(processor);
  const low = Number(value & 0xfffn);
  const memoryType = low & 7;
  if (memoryType !== 0 && memoryType !== 6) return { fault: 'memory-type' };
  const levels = ((low >> 3) & 7) + 1;
  if (levels !== 4 && !(levels === 5 && features.fiveLevel)) return { fault: 'walk-length' };
  const accessedDirty = (low & (1 << 6)) !== 0;
  if (accessedDirty && !features.accessedDirty) return { fault: 'accessed-dirty' };
  const supervisorShadowStack = (low & (1 << 7)) !== 0;
  if (
    (supervisorShadowStack && !features.supervisorShadowStack) ||
    (low & 0xf00) !== 0 ||
    value >> BigInt(processor.maxPhysicalAddressBits) !== 0n
  ) {
    return { fault: 'reserved-bits' };
  }
  return {
    eptp: { memoryType, levels, accessedDirty, supervisorShadowStack, root: Number(value >> 12n) as Pfn },
  };
}
