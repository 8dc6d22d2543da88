import { type Gfn, PAGE_WORDS, type PhysicalMemory } from '@heki/physical-memory';
import type { PagingLevels } from '../canonical.ts';
import { EntryLow, entryFrame, isLeaf, type Level } from '../entries/entry.ts';

/** What the page tables of a guest tell of the processor that walks them. */
export interface TableSurvey {
  /** Bits that the physical addresses in present entries need, 0 .. 52: MAXPHYADDR is no smaller. */
  readonly addressBits: number;
  /** Some PDPTE maps 1 GiB. */
  readonly gigabyteLeaves: boolean;
  /**
   * The C-bit (APM 2 7.10): the bit that most entries for tables, or for pages, have set beside an address in memory. Those
   * without it map what is shared with the hypervisor or with devices.
   */
  readonly encryptionBit: number | undefined;
  /** A bit like that in fewer entries, and in how many: the shared pages of a TDX guest look so, and damaged entries do. */
  readonly strayBit: { readonly bit: number; readonly entries: number } | undefined;
}

/** Tables to look at, and the memory that they lie in. */
export interface SurveyOptions {
  readonly memory: PhysicalMemory<Gfn>;
  /** Frame of the root table, as CR3 has it: the C-bit may be set in it. */
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** One past the last frame that may be memory. */
  readonly memoryEnd: Gfn;
  /** Table pages to look at, each counted once for each level. Default 2^18: 512 GiB in 4-KiB pages. */
  readonly budget?: number;
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
 * Looks at every present entry that `root` leads to, each table once for each level. A table that is not in `memory` is looked
 * for without the highest bit of its address, where that may be the C-bit.
 */
export function surveyTables(options: SurveyOptions): TableSurvey {
  const { memory, levels, memoryEnd, budget = 2 ** 18 } = options;
  const tables = createTally();
  const leaves = createTally();
  /** By their highest bit, the highest frame in all entries without it; -1 where no frame has that highest bit. */
  const rest = new Float64Array(FRAME_BITS).fill(-1);
  let gigabyteLeaves = false;

  const queue: { readonly table: Gfn; readonly level: Level }[] = [];
  const seen = new Set<number>();
  /** Puts the table at `frame` on the list, if it is in memory. */
  const visit = (frame: Gfn, level: Level): boolean => {
    if (memory.page(frame) === undefined) return false;
    const key = frame * 8 + level;
    if (!seen.has(key) && seen.size < budget) {
      seen.add(key);
      queue.push({ table: frame, level });
    }
    return true;
  };

  if (!visit(options.root, levels)) visit(decrypted(options.root), levels);
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { table, level } = next;
    const page = memory.page(table);
    for (let word = 0; page !== undefined && word < PAGE_WORDS; word += 2) {
      const low = page[word] ?? 0;
      if ((low & EntryLow.P) === 0) continue;
      const frame = entryFrame(low, page[word + 1] ?? 0);
      const below = decrypted(frame);
      const top = highestBit(frame);
      if (below > (rest[top] ?? 0)) rest[top] = below;
      if (isLeaf(low, level)) {
        if (level === 3) gigabyteLeaves = true;
        if (frame < memoryEnd) leaves.plain++;
        else if (below < memoryEnd) leaves.beside[top] = (leaves.beside[top] ?? 0) + 1;
      } else if (visit(frame, (level - 1) as Level)) tables.plain++;
      else if (visit(below, (level - 1) as Level)) tables.beside[top] = (tables.beside[top] ?? 0) + 1;
    }
  }

  const bit = likelyBit(tables) ?? likelyBit(leaves);
  const encrypts = bit !== undefined && (isUsual(tables, bit) || isUsual(leaves, bit));
  let addressBits = 0;
  for (const [top, below] of rest.entries()) {
    if (below >= 0)
      addressBits = Math.max(addressBits, 13 + (encrypts && top === bit ? highestBit(below as Gfn) : top));
  }
  const entries = bit === undefined ? 0 : (tables.beside[bit] ?? 0) + (leaves.beside[bit] ?? 0);
  return {
    addressBits,
    gigabyteLeaves,
    encryptionBit: encrypts ? bit + 12 : undefined,
    strayBit: bit === undefined || encrypts ? undefined : { bit: bit + 12, entries },
  };
}

/** The bit that most entries have beside an address in memory; `undefined` when none has one that encryption could use. */
function likelyBit({ beside }: Tally): number | undefined {
  const most = Math.max(...beside.subarray(LOWEST_ENCRYPTION_BIT));
  return most === 0 ? undefined : beside.lastIndexOf(most);
}

/** Whether more entries have `bit` than have none. */
function isUsual({ plain, beside }: Tally, bit: number): boolean {
  return (beside[bit] ?? 0) > plain;
}

/** Number of the highest bit that is set in a frame number; 0 for 0. */
function highestBit(frame: Gfn): number {
  const high = Math.floor(frame / 2 ** 32);
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32((frame % 2 ** 32) + (frame === 0 ? 1 : 0));
}

/** A frame number without its highest bit, if that may be the C-bit. */
function decrypted(frame: Gfn): Gfn {
  const bit = highestBit(frame);
  return (bit < LOWEST_ENCRYPTION_BIT ? frame : frame - 2 ** bit) as Gfn;
}
