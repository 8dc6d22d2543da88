import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { BLOCK_FRAMES, type BlockExchange, exchangeBlocks, holdsBlocks } from './exchange-blocks.ts';
import type { Move } from './move.ts';
import type { KernelToRedact } from './plan-moves.ts';

/** CONFIG_PHYSICAL_START, 16 MiB: the block in which the image begins without KASLR. */
const IMAGE_BLOCK = 8;

/** Which blocks of memory change places so that the image lies where it would without KASLR, or why they cannot. */
export function planExchange(
  kernel: KernelToRedact & { readonly directMap: { readonly frames: readonly FrameRange<Gfn>[] } },
  image: Move,
): BlockExchange | string {
  const { directMap } = kernel;
  let first: number | undefined;
  let isLinear = true;
  walkMappings(kernel, image.start as VirtualFrame, image.end as VirtualFrame, (leaf) => {
    const start = leaf.guestFrame - (leaf.virtualFrame - image.start);
    first ??= start;
    isLinear &&= first === start;
  });
  if (first === undefined || !isLinear || first % BLOCK_FRAMES !== 0) return 'it is not in one piece';
  const from = first / BLOCK_FRAMES;
  const count = Math.ceil((image.end - image.start) / BLOCK_FRAMES);
  const memoryEnd = directMap.frames.at(-1)?.end ?? 0;
  let to = IMAGE_BLOCK;
  while (!holdsBlocks(directMap.frames, to, count)) {
    if ((to + count) * BLOCK_FRAMES > memoryEnd) return 'there is no memory like it elsewhere';
    to++;
  }
  if (!holdsBlocks(directMap.frames, from, count)) return 'the direct map does not show all of it';
  const exchange = exchangeBlocks(from, to, count);
  return hasHugeLeaf(kernel, exchange) ? 'a leaf of 1 GiB maps it' : exchange;
}

/** Whether any leaf of 1 GiB maps a block that is to go elsewhere. */
function hasHugeLeaf(kernel: KernelToRedact, exchange: BlockExchange): boolean {
  let found = false;
  walkMappings(kernel, (2 ** 51) as VirtualFrame, (2 ** 52) as VirtualFrame, ({ level, guestFrame, frames }) => {
    if (level < 3 || found) return;
    for (const block of exchange.keys()) {
      const frame = block * BLOCK_FRAMES;
      found ||= frame >= guestFrame && frame < guestFrame + frames;
    }
  });
  return found;
}

/** The move of the direct map, in the parts that it has when blocks of memory change places. */
export function splitByExchange(direct: Move, exchange: BlockExchange): Move[] {
  const moves: Move[] = [];
  let next = direct.start;
  for (const [block, place] of [...exchange].sort(([a], [b]) => a - b)) {
    const start = direct.start + block * BLOCK_FRAMES;
    if (start > next) moves.push({ start: next, end: start, to: next - direct.start + direct.to });
    next = start + BLOCK_FRAMES;
    moves.push({ start, end: next, to: direct.to + place * BLOCK_FRAMES });
  }
  if (direct.end > next) moves.push({ start: next, end: direct.end, to: next - direct.start + direct.to });
  return moves;
}
