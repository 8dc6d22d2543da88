import type { Gfn } from '@heki/physical-memory';
import { addressHigh, entryFrame } from '../entries/entry.ts';
import { highestBit, type TablesToSurvey, visitEntries } from './table-entries.ts';

/** A bit that entries have beside an address in memory, as the C-bit is one. */
export interface BitBesideAddresses {
  readonly bit: number;
  /** How many entries have it. */
  readonly entries: number;
  /**
   * Most entries for tables, or most for pages, have it: then it is the C-bit, and what lacks it is shared. A bit of fewer entries is
   * something else: the shared pages of a TDX guest have one, and damaged entries may.
   */
  readonly usual: boolean;
}

const FRAME_BITS = 40;
/** Address bits below this one reach memory on any processor that encrypts; as the number of a bit of a frame. */
const LOWEST_ENCRYPTION_BIT = 40 - 12;

/** Entries of one kind: those whose frame is in memory as it stands, and by its highest bit those whose frame is without that. */
interface Tally {
  plain: number;
  readonly beside: Float64Array;
}

const createTally = (): Tally => ({ plain: 0, beside: new Float64Array(FRAME_BITS) });

/**
 * Looks for a C-bit (APM 2 7.10) in page tables: the highest address bit of entries that without it lead to memory, and with it
 * do not. The root may have it, too, as it has in CR3.
 *
 * @param tables.memoryEnd one past the last frame that may be memory
 */
export function findEncryptionBit(
  tables: TablesToSurvey & { readonly memoryEnd: Gfn },
): BitBesideAddresses | undefined {
  const { memory, memoryEnd } = tables;
  const forTables = createTally();
  const forPages = createTally();
  const isMemory = (frame: Gfn, leaf: boolean): boolean =>
    leaf ? frame < memoryEnd : memory.page(frame) !== undefined;
  const root = isMemory(tables.root, false) ? tables.root : decrypted(tables.root);
  visitEntries({ ...tables, root }, (low, high, _level, leaf) => {
    const frame = entryFrame(low, high);
    const tally = leaf ? forPages : forTables;
    if (isMemory(frame, leaf)) {
      tally.plain++;
      return frame;
    }
    const without = decrypted(frame);
    if (without === frame || !isMemory(without, leaf)) return undefined;
    const bit = highestBit(frame);
    tally.beside[bit] = (tally.beside[bit] ?? 0) + 1;
    return without;
  });

  const bit = likelyBit(forTables) ?? likelyBit(forPages);
  if (bit === undefined) return undefined;
  const count = ({ beside }: Tally): number => beside[bit] ?? 0;
  return {
    bit: bit + 12,
    entries: count(forTables) + count(forPages),
    usual: [forTables, forPages].some((tally) => count(tally) > tally.plain),
  };
}

/** Whether any present entry has the bit, which may be the C-bit. @param bit 32 .. 51 */
export function hasEncryptedEntry(tables: TablesToSurvey, bit: number): boolean {
  const mask = 1 << (bit - 32);
  let found = false;
  visitEntries(tables, (low, high) => {
    found ||= (high & mask) !== 0;
    return entryFrame(low, high, addressHigh(bit));
  });
  return found;
}

/** The bit that most entries have beside an address in memory; `undefined` when none has one that encryption could use. */
function likelyBit({ beside }: Tally): number | undefined {
  const most = Math.max(...beside.subarray(LOWEST_ENCRYPTION_BIT));
  return most === 0 ? undefined : beside.lastIndexOf(most);
}

/** A frame number without its highest bit, if that may be the C-bit. */
function decrypted(frame: Gfn): Gfn {
  const bit = highestBit(frame);
  return (bit < LOWEST_ENCRYPTION_BIT ? frame : frame - 2 ** bit) as Gfn;
}
