import type { Gfn, PhysicalMemory, U64, VirtualFrame } from '@heki/physical-memory';
import { hex } from '@heki/physical-memory';
import { checkLevels, isCanonical, type PagingLevels } from '../canonical.ts';
import { ENTRY_BITS, EntryHigh, EntryLow, type LeafLevel } from '../entries/entry.ts';
import { X86Error } from '../error.ts';
import { checkVirtualRange } from '../mappings/mapping-walk.ts';
import { AddressSpaceEdit, type EditResult, type LeafBitChange } from './edit.ts';
import { AddressSpaceTables, type TableAllocator } from './tables.ts';

/** The page tables of one address space, and all that changes them. Ranges are `start` .. `end` - 1, canonical. */
export interface AddressSpace {
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** Table pages taken from the allocator and in use. */
  readonly tablePages: number;
  /**
   * Maps the range to the guest frames from `target` on with the largest leaves that fit, in place of what was there.
   *
   * @param bits a present leaf laid out as a PTE, without the address; bit 7 is PAT
   * @param largest the largest leaf to use; default: what the address space allows
   * @throws {X86Error} when the range, the target or the bits are invalid
   */
  map(start: VirtualFrame, end: VirtualFrame, target: Gfn, bits: U64, largest?: LeafLevel): EditResult;
  /** Removes all mappings of the range, splitting leaves that straddle its ends. @throws {X86Error} as {@link map} */
  unmap(start: VirtualFrame, end: VirtualFrame): EditResult;
  /** Changes bits of every present leaf in the range, splitting leaves that straddle its ends. @throws {X86Error} as {@link map} */
  change(start: VirtualFrame, end: VirtualFrame, change: LeafBitChange): EditResult;
  /** Splits the leaf over `frame`, when it is above `level`, down to `level`. @throws {X86Error} as {@link map} */
  split(frame: VirtualFrame, level: LeafLevel): EditResult;
  /** Gives all table pages that came from the allocator back to it. The address space must not be used afterwards. */
  destroy(): void;
}

/** What an address space is made of. */
export interface AddressSpaceOptions {
  readonly memory: PhysicalMemory<Gfn>;
  readonly tables: TableAllocator;
  readonly levels: PagingLevels;
  /** Tables to go on with, a kernel's for instance; without it a new, empty root. */
  readonly root?: Gfn;
  /** The largest leaf that {@link AddressSpace.map} makes. Default 3, 1 GiB. */
  readonly largestLeaf?: LeafLevel;
}

/**
 * An editor of page tables, in the bytes themselves. It frees only the table pages that it made, as soon as they are
 * empty; those it found stay where they are.
 *
 * The entries that lead to tables made here have P, R/W, U/S and A, so that leaves decide; an entry that was there is
 * left as it is, and may take rights from all below it.
 *
 * @throws {X86Error} when there is no frame for the root
 */
export function createAddressSpace(options: AddressSpaceOptions): AddressSpace {
  const { memory, levels, largestLeaf = 3 } = options;
  checkLevels(levels);
  const tables = new AddressSpaceTables(memory, options.tables);
  const root = options.root ?? tables.createRoot();
  if (root === undefined) throw new X86Error('no frame is left for the root table');

  const edit = (start: VirtualFrame, end: VirtualFrame): AddressSpaceEdit => {
    checkVirtualRange(start, end);
    const canonical = isCanonical(start, levels) && isCanonical((end - 1) as VirtualFrame, levels);
    const oneHalf = start < 2 ** 51 === end - 1 < 2 ** 51;
    if (start > end || (start < end && !(canonical && oneHalf))) {
      throw new X86Error(`${hex(start)}-${hex(end)} is not a range of canonical virtual frames`);
    }
    return new AddressSpaceEdit(tables, root, levels, start, end);
  };

  return {
    root,
    levels,
    get tablePages() {
      return tables.count;
    },
    map(start, end, target, bits, largest = largestLeaf) {
      const run = edit(start, end);
      checkTarget(target, end - start);
      if ((bits.low & EntryLow.P) === 0) throw new X86Error('a leaf to map needs P = 1');
      checkBits({ low: bits.low & ~EntryLow.P, high: bits.high });
      return run.map(target, bits, Math.min(largest, largestLeaf) as LeafLevel);
    },
    unmap: (start, end) => edit(start, end).unmap(),
    change(start, end, change) {
      const run = edit(start, end);
      checkBits(change.clear);
      checkBits(change.set);
      return run.change(change);
    },
    split: (frame, level) => edit(frame, (frame + 1) as VirtualFrame).split(level),
    destroy: () => tables.freeAll(),
  };
}

/** The halves of an entry with these bits set: `entryBits('P', 'RW', 'XD')`. @throws {X86Error} for a name that no bit has */
export function entryBits(...names: Exclude<keyof typeof ENTRY_BITS, 'FRAME' | 'KEY'>[]): U64 {
  for (const name of names) {
    if (!Object.hasOwn(ENTRY_BITS, name) || ['FRAME', 'KEY'].includes(name)) {
      const known = Object.keys(ENTRY_BITS).filter((one) => !['FRAME', 'KEY'].includes(one));
      throw new X86Error(`entry bit ${JSON.stringify(name)}: expected one of ${known.join(', ')}`);
    }
  }
  return {
    low: names.reduce((mask, name) => mask | EntryLow[name], 0) >>> 0,
    high: names.reduce((mask, name) => mask | EntryHigh[name], 0) >>> 0,
  };
}

function checkTarget(target: Gfn, frames: number): void {
  if (!(Number.isSafeInteger(target) && target >= 0 && target + frames <= 2 ** 40)) {
    throw new X86Error(`${hex(frames)} frames from ${hex(target)} on are not below frame ${hex(2 ** 40)}`);
  }
}

function checkBits({ low, high }: U64): void {
  if ((low & (EntryLow.P | EntryLow.FRAME)) !== 0 || (high & EntryHigh.FRAME) !== 0) {
    throw new X86Error(
      `${hex((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0))} are not bits of a leaf: expected neither P nor bits 51:12`,
    );
  }
}
