import type { VirtualAddress } from '@heki/physical-memory';
import { CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import type { Access } from './access.ts';

/**
 * Whether linear-address-space separation refuses the access before any walk, whatever the tables hold (SDM 3A 2.5, CR4.LASS; Intel
 * 319433, "Linear Address Space Separation"). User-mode accesses are confined to addresses whose bit 63 is 0, and the supervisor's
 * to the others: its fetches always, its data accesses where SMAP would look at them.
 */
export function violatesLass(
  va: VirtualAddress,
  { kind, mode }: Access,
  { cr4, efer, rflags }: PagingRegisters,
): boolean {
  if ((cr4 & CR4.LASS) === 0n || (efer & EFER.LMA) === 0n) return false;
  const upperHalf = va >> 63n === 1n;
  if (mode === 'user') return upperHalf;
  if (upperHalf) return false;
  if (kind === 'fetch') return true;
  const allowed = mode === 'supervisor' && (rflags & RFLAGS.AC) !== 0n;
  return (cr4 & CR4.SMAP) !== 0n && !allowed;
}
