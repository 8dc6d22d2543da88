import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import { EntryHigh, EntryLow } from '@heki/x86';

/** What a page may do that no mapping speaks for: READ and WRITE (Heki v2 18/19). */
export const DEFAULT_PERMISSIONS: number = MEM_ATTR_READ | MEM_ATTR_WRITE;

/**
 * MEM_ATTR bits of a mapping, from the halves of its leaf entry: READ always, WRITE with R/W, EXEC without XD. All
 * other bits, and those of upper entries, play no part (Heki v2 14/19).
 */
export function leafPermissions(low: number, high: number): number {
  return (
    MEM_ATTR_READ |
    ((low & EntryLow.RW) === 0 ? 0 : MEM_ATTR_WRITE) |
    ((high & EntryHigh.XD) === 0 ? MEM_ATTR_EXEC : 0)
  );
}

/** What an update does to every mapping: MEM_ATTR bits gained and lost. */
export interface PermissionChange {
  readonly set: number;
  readonly clear: number;
}

/** Bits of a page protection (`pgprot_t`) that matter to Heki. */
export interface ProtectionBits {
  /** _PAGE_RW. */
  readonly writable?: boolean;
  /** _PAGE_NX. */
  readonly noExecute?: boolean;
}

/**
 * What `HekiGuest.update` is to be told when the kernel sets or clears these bits in its entries: RW gives and takes
 * WRITE, NX takes and gives EXEC (Heki v2 16/19).
 */
export function permissionChange(operation: 'set' | 'clear', bits: ProtectionBits): PermissionChange {
  const write = bits.writable === true ? MEM_ATTR_WRITE : 0;
  const execute = bits.noExecute === true ? MEM_ATTR_EXEC : 0;
  return operation === 'set' ? { set: write, clear: execute } : { set: execute, clear: write };
}
