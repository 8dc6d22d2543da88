import type { U64 } from '@heki/physical-memory';
import { EntryHigh, EntryLow } from '@heki/x86';

/** What the guest may do with a page, as Heki asks for it. */
export interface NptRights {
  readonly read: boolean;
  readonly write: boolean;
  /** Fetches at CPL < 3. */
  readonly supervisorExecute: boolean;
  /** Fetches at CPL 3. */
  readonly userExecute: boolean;
}

/** How near an AMD leaf comes to the rights asked for. */
export interface NptLeaf {
  /** R/W, U/S and NX (with P), for `map`, `installLeaf` and `update` of the editor. */
  readonly bits: U64;
  /** What these bits really grant. */
  readonly granted: NptRights;
  /** Something is granted that was not asked for. */
  readonly weakened: boolean;
}

/** The bits that {@link nptLeaf} decides. */
export const NPT_RIGHTS: U64 = { low: EntryLow.P | EntryLow.RW | EntryLow.US, high: EntryHigh.XD };

/**
 * The leaf that grants at least `wanted` and as little more as the processor can. A present page is always readable.
 *
 * With GMET a page has one of three states (APM 2 15.25.5): no execution (NX), user only (U/S = 1) or both (U/S = 0); there is
 * no "supervisor only", so a page of kernel text is executable by user code too, and guest paging and SMEP must do
 * the rest. Without GMET, U/S must be 1 and execution is all or nothing: a kernel page whose
 * execution only the supervisor is to be denied cannot be had.
 */
export function nptLeaf(wanted: NptRights, options: { readonly gmet: boolean }): NptLeaf {
  const { supervisorExecute, userExecute } = wanted;
  const both = options.gmet ? supervisorExecute : supervisorExecute || userExecute;
  const granted: NptRights = {
    read: true,
    write: wanted.write,
    supervisorExecute: both,
    userExecute: both || userExecute,
  };
  return {
    bits: {
      low: EntryLow.P | (wanted.write ? EntryLow.RW : 0) | (options.gmet && both ? 0 : EntryLow.US),
      high: granted.userExecute ? 0 : EntryHigh.XD,
    },
    granted,
    weakened: !wanted.read || (both && !supervisorExecute) || (granted.userExecute && !userExecute),
  };
}
