import { addressHigh, entryFrame } from '../entries/entry.ts';
import { highestBit, type TablesToSurvey, visitEntries } from './table-entries.ts';

/** What the page tables of a guest tell of the processor that walks them. */
export interface TableSurvey {
  /** Bits that the physical addresses in present entries need, 0 .. 52: MAXPHYADDR is no smaller. */
  readonly addressBits: number;
  /** Some PDPTE maps 1 GiB. */
  readonly gigabyteLeaves: boolean;
}

/** Looks at every present entry that the root leads to; `encryptionBit`, the C-bit, is not part of their addresses. */
export function surveyTables(
  tables: TablesToSurvey & { readonly encryptionBit?: number | undefined },
): TableSurvey {
  const bits = addressHigh(tables.encryptionBit);
  let addressBits = 0;
  let gigabyteLeaves = false;
  visitEntries(tables, (low, high, level, leaf) => {
    const frame = entryFrame(low, high, bits);
    addressBits = Math.max(addressBits, highestBit(frame) + 13);
    gigabyteLeaves ||= leaf && level === 3;
    return frame;
  });
  return { addressBits, gigabyteLeaves };
}
