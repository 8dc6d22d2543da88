import { EntryLow, type Level } from './entry.ts';

/** What decides which bits of an entry are reserved. */
export interface ReservedBitRules {
  readonly maxPhysicalAddressBits: number;
  readonly gigabytePages: boolean;
  readonly vendor: 'intel' | 'amd';
  /** The C-bit: never reserved, also above MAXPHYADDR. */
  readonly encryptionBit?: number | undefined;
  /** EFER.NXE. */
  readonly nxe: boolean;
}

/** The bits `last`:`first`. */
function bits(last: number, first: number): bigint {
  return (1n << BigInt(last + 1)) - (1n << BigInt(first));
}

/**
 * The bits that must be 0 in a present entry of `level` (SDM 3A 4.5, tables 4-14 to 4-20; APM 2 5.3.3).
 *
 * @param pageSize whether the entry has bit 7 set, which makes a leaf of a PDE or PDPTE
 */
export function reservedBits(level: Level, pageSize: boolean, rules: ReservedBitRules): bigint {
  let reserved = rules.maxPhysicalAddressBits < 52 ? bits(51, rules.maxPhysicalAddressBits) : 0n;
  if (rules.encryptionBit !== undefined) reserved &= ~bits(rules.encryptionBit, rules.encryptionBit);
  if (!rules.nxe) reserved |= bits(63, 63);
  if (level >= 4 || (level === 3 && !rules.gigabytePages)) reserved |= BigInt(EntryLow.PS);
  if (level === 3 && pageSize) reserved |= bits(29, 13);
  if (level === 2 && pageSize) reserved |= bits(20, 13);
  // Bit 8 is "must be zero" in a PML5E and PML4E, and ignored in a PDPTE and PDE that refer to tables (APM 2 5.3.3, 5.3.4).
  if (rules.vendor === 'amd' && level >= 4) reserved |= BigInt(EntryLow.G);
  return reserved;
}
