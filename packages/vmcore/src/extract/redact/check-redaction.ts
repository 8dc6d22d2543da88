import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import {
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  type PresencePolicy,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import type { TableRoot } from '../table-pages.ts';
import { CannotMove, type Move, movedTo } from './move.ts';
import { type BlockPermutation, permutedFrame } from './permute-blocks.ts';

interface Tables {
  readonly memory: PhysicalMemory<Gfn>;
  readonly roots: readonly TableRoot[];
}

/**
 * Holds every mapping under every root of the tables before to one of the tables after, at the place to which `moves` take it: by
 * the number of mappings and a sum over all of them, as their order changes.
 *
 * @throws {CannotMove} when they differ
 */
export function checkRedaction(
  before: Tables,
  after: Tables,
  moves: readonly Move[],
  permutation: BlockPermutation,
): void {
  for (const presence of [HARDWARE_PRESENCE, LINUX_PRESENCE]) {
    for (const [index, root] of before.roots.entries()) {
      const expected = sumOf(before.memory, root, presence, moves, permutation);
      const found = sumOf(after.memory, after.roots[index] ?? root, presence, [], new Map());
      if (expected !== found) throw new CannotMove('a table is used in more places than one');
    }
  }
}

/** Two sums over the mappings of the kernel's half, each of a product that depends on all that a mapping is. */
function sumOf(
  memory: PhysicalMemory<Gfn>,
  { frame: root, levels }: TableRoot,
  presence: PresencePolicy,
  moves: readonly Move[],
  permutation: BlockPermutation,
): string {
  let first = 0;
  let second = 0;
  const add = (virtual: number, frame: number, ...facts: readonly number[]): void => {
    let hash = mixed(mixed(0, virtual), frame);
    for (const fact of facts) hash = mixed(hash, fact);
    first = (first + hash) >>> 0;
    second = (second + mixed(hash, 0x5bd1)) >>> 0;
  };
  const { leaves, absentTables } = walkMappings(
    { memory, root, levels, presence },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ virtualFrame, guestFrame, frames, level, low, high, effective }) => {
      add(
        movedTo(moves, virtualFrame),
        permutedFrame(permutation, guestFrame),
        ...[frames, level, low % 4096, Math.floor(high / 2 ** 20), effective],
      );
    },
  );
  return [leaves, absentTables, first, second].join(' ');
}

/** Mixes a number of up to 53 bits into a hash of 32 (the finalizer of MurmurHash3). */
function mixed(hash: number, value: number): number {
  let mix = hash ^ (value % 2 ** 32) ^ Math.imul(Math.floor(value / 2 ** 32), 0x9e3779b1);
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}
