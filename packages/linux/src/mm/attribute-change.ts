import type { U64 } from '@heki/physical-memory';

/** Bits of leaves to set and to clear: P, RW, D and XD. */
export interface AttributeChange {
  readonly set: U64;
  readonly clear: U64;
}

/** The bits of a leaf after a change that nothing forbids. */
export function applied({ low, high }: U64, { set, clear }: AttributeChange): U64 {
  return { low: ((low & ~clear.low) | set.low) >>> 0, high: ((high & ~clear.high) | set.high) >>> 0 };
}
