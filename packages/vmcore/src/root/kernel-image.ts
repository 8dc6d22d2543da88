import {
  firstBehind,
  type Gfn,
  hex,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { PageRights, walkMappings } from '@heki/x86';
import type { Range } from '../range.ts';
import type { DirectMap } from './direct-map.ts';
import { GIB_FRAMES, KERNEL_MAP, type KernelTables } from './kernel-tables.ts';

/** What a kernel says of its image (VMCOREINFO). */
export interface ImageFacts {
  /** `_stext`. */
  readonly text: VirtualAddress;
  /** The frame of `_stext`, by `phys_base`. */
  readonly frame: Gfn | undefined;
}

/** A page of the kernel's text, and the frame that it has as a part of the image. */
export interface TextPage {
  readonly virtualFrame: VirtualFrame;
  readonly frame: Gfn;
}

/** What is mapped at one distance from its frames. */
interface Piece {
  /** Virtual frame less frame. */
  readonly distance: number;
  pages: number;
  /** Those that the direct map shows, too. */
  shown: number;
  executable: number;
  firstExecutable: VirtualFrame;
}

/**
 * The first page of the kernel's text, or why there is none, in words that follow the name of a root. An image is mapped in one
 * piece: most of what can be executed where images lie is as far from its frame. Single pages may have been led elsewhere, by damage
 * or by an attacker, and modules, which may lie there, too, are scattered. The direct map must show most of that piece: in early
 * boot there are page tables with an image and a few pages of a direct map to come (Linux, early_make_pgtable).
 */
export function findText(
  tables: KernelTables,
  directMap: DirectMap,
  facts: ImageFacts | undefined,
): TextPage | string {
  const image = largestPiece(tables, directMap);
  if (image === undefined) {
    return `has no executable page where a kernel's image lies, from ${hex(virtualAddressOf(KERNEL_MAP))} on`;
  }
  const { distance, pages, shown, firstExecutable } = image;
  if (shown * 2 <= pages) {
    return `has a direct map with only ${shown} of the ${pages} pages of the kernel's image`;
  }
  if (facts === undefined)
    return { virtualFrame: firstExecutable, frame: (firstExecutable - distance) as Gfn };

  const name = `_stext at ${hex(facts.text)}`;
  const virtualFrame = virtualFrameOf(facts.text);
  const frame = (virtualFrame - distance) as Gfn;
  let wrong: string | undefined = 'does not map';
  walkMappings(tables, virtualFrame, (virtualFrame + 1) as VirtualFrame, (leaf) => {
    wrong = (leaf.effective & PageRights.EXECUTE_DISABLE) === 0 ? undefined : 'has no executable mapping of';
  });
  if (wrong !== undefined) return `${wrong} ${name}, where VMCOREINFO has the kernel's text`;
  if (facts.frame !== undefined && frame !== facts.frame) {
    return `has an image with ${name} at ${hex(frame * PAGE_SIZE)}: by VMCOREINFO it is at ${hex(facts.frame * PAGE_SIZE)}`;
  }
  return { virtualFrame, frame };
}

/** Of the pieces where images lie, the one with most executable pages; `undefined` when there is none with any. */
function largestPiece(tables: KernelTables, { frames }: DirectMap): Piece | undefined {
  const pieces = new Map<number, Piece>();
  const end = (KERNEL_MAP + GIB_FRAMES) as VirtualFrame;
  // At each place: a table that damage has linked a second time is at its own place, too.
  walkMappings({ ...tables, sharedTables: 'each' }, KERNEL_MAP, end, (leaf) => {
    const distance = leaf.virtualFrame - leaf.guestFrame;
    let piece = pieces.get(distance);
    if (piece === undefined) {
      piece = { distance, pages: 0, shown: 0, executable: 0, firstExecutable: leaf.virtualFrame };
      pieces.set(distance, piece);
    }
    piece.pages += leaf.frames;
    piece.shown += numbersIn(frames, leaf.guestFrame, leaf.guestFrame + leaf.frames);
    if ((leaf.effective & PageRights.EXECUTE_DISABLE) !== 0) return;
    if (piece.executable === 0) piece.firstExecutable = leaf.virtualFrame;
    piece.executable += leaf.frames;
  });
  let largest: Piece | undefined;
  for (const piece of pieces.values()) {
    if (piece.executable > (largest?.executable ?? 0)) largest = piece;
  }
  return largest;
}

/** How many of the numbers `start` .. `end` - 1 lie in `ranges`, which are in order and apart. */
function numbersIn(ranges: readonly Range[], start: number, end: number): number {
  let numbers = 0;
  let next = firstBehind(ranges, start);
  for (let range = ranges[next]; range !== undefined && range.start < end; range = ranges[++next]) {
    numbers += Math.min(end, range.end) - Math.max(start, range.start);
  }
  return numbers;
}
