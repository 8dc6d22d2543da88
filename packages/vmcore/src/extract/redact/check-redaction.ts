import { type Gfn, type PhysicalMemory, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import {
  addressHigh,
  entryFrame,
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import { DUMP_LIMITS } from '../../limits.ts';
import { type TableRoot, UPPER_HALF } from '../table-pages.ts';
import { CannotMove, type Move, movedTo } from './move.ts';
import { type BlockPermutation, permutedFrame, permutedLeafFrame } from './permute-blocks.ts';

/** Page tables: what their roots lead to. */
export interface Tables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly roots: readonly TableRoot[];
  readonly encryptionBit: number | undefined;
}

/**
 * Holds every mapping under every root of the tables before to one of the tables after, at the place to which `moves` take it: by
 * the number of mappings and a sum over all of them, as their order changes.
 *
 * @throws {CannotMove} when they differ, or are without end
 */
export function checkRedaction(
  before: Tables,
  after: Tables,
  moves: readonly Move[],
  permutation: BlockPermutation,
): void {
  for (const presence of [HARDWARE_PRESENCE, LINUX_PRESENCE]) {
    const checked = new Set<string>();
    for (const [index, root] of before.roots.entries()) {
      const rootAfter = after.roots[index] ?? root;
      // Roots share the kernel's half: a machine with many CPUs has it once.
      const half = `${upperHalf(before.memory, root)} ${upperHalf(after.memory, rootAfter)}`;
      if (checked.has(half)) continue;
      checked.add(half);
      const expected = sumOf(before, root, presence, moves, permutation);
      const found = sumOf(after, rootAfter, presence, [], new Map());
      if (expected !== found)
        throw new CannotMove('a table that would change is used in more places than one');
    }
  }
}

function upperHalf(memory: PhysicalMemory<Gfn>, { frame, levels }: TableRoot): string {
  return `${levels} ${Array.from(memory.page(frame) ?? []).slice(2 * UPPER_HALF)}`;
}

/** Two sums over the mappings of the kernel's half, of what each is and where it stands. */
function sumOf(
  { memory, encryptionBit }: Tables,
  { frame: root, levels }: TableRoot,
  presence: PresencePolicy,
  moves: readonly Move[],
  permutation: BlockPermutation,
): string {
  const lastFrame = entryFrame(~0, ~0, addressHigh(encryptionBit));
  let first = 0;
  let second = 0;
  const add = (hash: number): void => {
    first = (first + hash) >>> 0;
    second = (second + mixed(hash, 0x5bd1)) >>> 0;
  };
  /** By the table and where it was visited, all its places: which of them comes first may change. */
  const places = new Map<string, Set<number>>();
  const { mappings, absentTables, stoppedAt } = walkMappings(
    {
      memory,
      root,
      levels,
      presence,
      encryptionBit,
      budget: DUMP_LIMITS.tablePages,
      onShared({ virtualFrame, table, level, visitedAt }) {
        const key = `${table} ${level} ${visitedAt}`;
        const known = places.get(key) ?? new Set([visitedAt]);
        places.set(key, known.add(virtualFrame));
      },
    },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    (leaf) => {
      const { virtualFrame, frames, level, low, high, effective, places: count } = leaf;
      let hash = mixed(0, count === 1 ? movedTo(moves, virtualFrame) : 0);
      hash = mixed(hash, permutedLeafFrame(permutation, leaf, lastFrame));
      hash = mixed(hash, frames);
      // Attributes of an entry: a level has three bits, the effective rights and flags are of 32.
      hash = mixed(hash, (low % 4096) * 8 + level);
      hash = mixed(hash, high & ~addressHigh(encryptionBit));
      hash = mixed(hash, effective);
      add(mixed(hash, count));
    },
  );
  if (stoppedAt !== undefined) throw new CannotMove('they point to each other');
  for (const [key, all] of places) {
    const [table = 0, level = 0] = key.split(' ').map(Number);
    const hash = mixed(mixed(0, permutedFrame(permutation, table as Gfn)), level);
    for (const place of all) add(mixed(hash, movedTo(moves, place)));
  }
  return [mappings, absentTables, first, second].join(' ');
}

/** Mixes a number of up to 53 bits into a hash of 32 (the finalizer of MurmurHash3). */
function mixed(hash: number, value: number): number {
  let mix = hash ^ value ^ Math.imul(value / 2 ** 32, 0x9e3779b1);
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}
