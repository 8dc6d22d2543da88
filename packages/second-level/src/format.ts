import { HekiError, type Pfn, type U64 } from '@heki/physical-memory';

/** Misuse of a second-level editor by the TypeScript caller: a wrong range, an illegal leaf, a table page outside memory. */
export class SecondLevelEditorError extends HekiError {
  override readonly name = 'SecondLevelEditorError';
}

/** One bit of the low half of an entry, which the editor sets and clears in leaves itself. */
interface LeafBit {
  /** The bit. */
  readonly mask: number;
  /** Its value in a leaf above level 1, and in no table: `mask` on x86 (bit 7), 0 on arm64 (bit 1). */
  readonly large: number;
  /** Its value in a leaf of level 1: 0 on x86, `mask` on arm64. */
  readonly small: number;
}

/**
 * What an editor must know of an entry format (EPT: SDM 3C 29.3.2; NPT: APM 2 15.25; stage 2 of arm64: Arm ARM D8.3). In every
 * format a table has 512 entries of 64 bits, and the address is in bits 51:12.
 */
export interface SecondLevelFormat {
  /** Levels of tables. */
  readonly levels: 4 | 5;
  /** The highest level that may hold leaves: 1 (4 KiB only), 2 (2 MiB) or 3 (1 GiB). */
  readonly largestLeaf: 1 | 2 | 3;
  /** Bits of the low half any of which makes an entry present. */
  readonly present: number;
  /** The bit that tells leaves from tables. */
  readonly leaf: LeafBit;
  /** Accessed and dirty flags, in the low half: pages agree whatever these are. */
  readonly accessedDirty: number;
  /** An entry that refers to a table, without the address. */
  readonly table: U64;
  /** The value of an entry that is not present. */
  readonly absent: U64;
  /** Clearing one of these bits of a present entry needs a flush. */
  readonly flushOnClear: U64;
  /** Setting one of these bits of a present entry needs a flush. */
  readonly flushOnSet: U64;
}

/** Where table pages come from and go to: host frames that are present in the host's memory. */
export interface TableFrames {
  /** A frame that nothing else uses, whatever it holds, or `undefined` when there is none. */
  allocate(): Pfn | undefined;
  /** Takes back a frame that {@link allocate} gave. */
  free(frame: Pfn): void;
}
