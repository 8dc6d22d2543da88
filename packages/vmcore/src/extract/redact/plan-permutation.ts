import type { VirtualFrame } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import type { Move } from './move.ts';
import { BLOCK_FRAMES, type BlockPermutation, broughtToFront } from './permute-blocks.ts';
import type { KernelToRedact } from './plan-moves.ts';

/** CONFIG_PHYSICAL_START, 16 MiB: the block in which the image begins without KASLR. */
const IMAGE_BLOCK = 8;
const BLOCKS_OF_GIB = 512;

/**
 * How blocks of memory move so that the kernel's image lies where it would without KASLR, and what lay below it follows: of where it
 * was, nothing is to be seen. A direct map with leaves of 1 GiB has none where the image is, so then that GiB is to be seen,
 * and the image goes to its start. Instead, why it cannot be done.
 */
export function planPermutation(kernel: KernelToRedact, image: Move): BlockPermutation | string {
  let start: number | undefined;
  let isLinear = true;
  walkMappings(kernel, image.start as VirtualFrame, image.end as VirtualFrame, (leaf) => {
    const first = leaf.guestFrame - (leaf.virtualFrame - image.start);
    start ??= first;
    isLinear &&= start === first;
  });
  if (start === undefined || !isLinear || start % BLOCK_FRAMES !== 0) return 'it is not in one piece';
  const from = start / BLOCK_FRAMES;
  const count = Math.ceil((image.end - image.start) / BLOCK_FRAMES);
  const { blocks, hasHugeLeaves } = movableBlocks(kernel, from + count);
  const lowest = hasHugeLeaves ? Math.max(IMAGE_BLOCK, from - (from % BLOCKS_OF_GIB)) : IMAGE_BLOCK;
  const isRun = (first: number) => {
    for (let block = first; block < first + count; block++) if (!blocks.has(block)) return false;
    return true;
  };
  if (!isRun(from)) return 'the direct map does not show all of it as other memory';
  // Below 16 MiB KASLR puts no image: one that lies there was loaded there.
  let to = Math.min(lowest, from);
  while (!isRun(to)) to++;
  return broughtToFront(
    [...blocks].filter((block) => block >= to),
    from,
  );
}

/** The blocks below `end`, ascending, that the direct map shows whole and without a leaf of 1 GiB, and whether it has such. */
function movableBlocks(
  kernel: KernelToRedact,
  end: number,
): { readonly blocks: ReadonlySet<number>; readonly hasHugeLeaves: boolean } {
  const { directMap } = kernel;
  const frames = new Map<number, number>();
  let hasHugeLeaves = false;
  walkMappings(kernel, directMap.start, directMap.end, (leaf) => {
    if (leaf.virtualFrame - leaf.guestFrame !== directMap.start) return;
    hasHugeLeaves ||= leaf.level === 3;
    const block = Math.floor(leaf.guestFrame / BLOCK_FRAMES);
    if (leaf.level < 3 && block < end) frames.set(block, (frames.get(block) ?? 0) + leaf.frames);
  });
  const whole = [...frames].filter(([, count]) => count === BLOCK_FRAMES).map(([block]) => block);
  return { blocks: new Set(whole), hasHugeLeaves };
}

/** The move of the direct map, in the parts that it has when blocks of memory change places. */
export function splitByPermutation(direct: Move, permutation: BlockPermutation): Move[] {
  const moves: { start: number; end: number; readonly to: number }[] = [];
  const add = (start: number, end: number, to: number): void => {
    const last = moves.at(-1);
    if (last !== undefined && last.end === start && last.to - last.start === to - start) last.end = end;
    else if (end > start) moves.push({ start, end, to });
  };
  const distance = direct.to - direct.start;
  let next = direct.start;
  for (const [block, place] of [...permutation].sort(([a], [b]) => a - b)) {
    const start = direct.start + block * BLOCK_FRAMES;
    add(next, start, next + distance);
    next = start + BLOCK_FRAMES;
    add(start, next, direct.to + place * BLOCK_FRAMES);
  }
  add(next, direct.end, next + distance);
  return moves;
}
