import type { PagingRegisters } from './registers.ts';

/**
 * Cached translations that a write of a control register invalidates (SDM 3A 4.10.4.1):
 * none; those of one PCID but for global pages; those of one PCID, global pages too; all of all PCIDs.
 */
export type TlbFlush =
  | { readonly kind: 'none' }
  | { readonly kind: 'pcid'; readonly pcid: number; readonly global: boolean }
  | { readonly kind: 'all' };

/** What comes of a write to CR0, CR3, CR4 or EFER. */
export type RegisterWrite =
  | { readonly kind: 'ok'; readonly registers: PagingRegisters; readonly flush: TlbFlush }
  | { readonly kind: 'general-protection' /** One sentence: which rule. */; readonly reason: string };
