import {
  frameOf,
  type Gfn,
  gpa,
  PAGE_SIZE,
  type PageView,
  type PhysicalMemory,
  virtualAddress,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';
import type { DirectMap } from '../../root/direct-map.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import type { Vmcore } from '../../vmcore.ts';
import type { ExtractRoot } from '../extract-roots.ts';
import { findTablePages, MAX_TABLE_PAGES } from '../table-pages.ts';
import { checkRedaction } from './check-redaction.ts';
import { CannotMove, type Move, movedTo } from './move.ts';
import { moveTables } from './move-tables.ts';
import { type BlockPermutation, permutedFrame, withPermutedFrames } from './permute-blocks.ts';
import { planMoves } from './plan-moves.ts';
import { planPermutation, splitByPermutation } from './plan-permutation.ts';
import { type AddressChange, redactNotes } from './redact-notes.ts';
import { type Remains, remainsOf } from './remains.ts';

/** A dump in which nothing is where KASLR put it, and whose notes tell no more than the commands need. */
export interface RedactedDump {
  /** Of table pages alone: what is in any other page is none of the dump's. */
  readonly memory: PhysicalMemory<Gfn>;
  readonly roots: readonly ExtractRoot[];
  readonly notes: readonly Note[];
  readonly change: AddressChange;
  /** What is still to be seen of the choices of KASLR. */
  readonly remains: readonly Remains[];
}

/**
 * Takes out of the tables and notes of a dump what KASLR chose: the regions of the kernel's half, its image and its modules go to
 * places that are the same for every kernel, and the image to the memory where it lies without KASLR. What is mapped, how,
 * and by which frames together stays as it was, which is checked mapping by mapping. So verdicts stay, too.
 *
 * @throws {VmcoreError} when no root proves to be the kernel's, or its tables cannot be moved
 */
export function redactDump(core: Vmcore, roots: readonly ExtractRoot[]): RedactedDump {
  const kernel = resolveKernelRoot(core);
  try {
    const places = planMoves(kernel);
    const { direct, image, others } = places;
    const plan = image === undefined ? 'it was not found' : planPermutation(kernel, image);
    const permutation: BlockPermutation = typeof plan === 'string' ? new Map() : plan;
    const moves = [
      ...splitByPermutation(direct, permutation),
      ...(image === undefined ? [] : [image]),
      ...others,
    ];
    const memory = redactedMemory(
      core.memory,
      moveTables(core.memory, roots, moves, spareFrames(core, roots, kernel.directMap)),
      permutation,
    );
    const redacted = roots.map((root) => ({ ...root, frame: permutedFrame(permutation, root.frame) }));
    checkRedaction({ memory: core.memory, roots }, { memory, roots: redacted }, moves, permutation);
    const change = addressChange(moves, permutation);
    return {
      memory,
      roots: redacted,
      notes: redactNotes(core.notes, change),
      change,
      remains: remainsOf(kernel, places, typeof plan === 'string' ? plan : undefined),
    };
  } catch (error) {
    if (!(error instanceof CannotMove)) throw error;
    throw new VmcoreError(`the page tables cannot be redacted: ${error.message}`, { cause: error });
  }
}

/** Frames that hold no table, from the end of memory down. */
function* spareFrames(
  { memory }: Vmcore,
  roots: readonly ExtractRoot[],
  { frames }: DirectMap,
): Generator<Gfn, undefined> {
  const tables = new Set(findTablePages(memory, roots, { user: true, limit: MAX_TABLE_PAGES }).frames);
  for (const { start, end } of frames.toReversed()) {
    for (let frame = end - 1; frame >= start; frame--) {
      if (!tables.has(frame as Gfn)) yield frame as Gfn;
    }
  }
}

function redactedMemory(
  memory: PhysicalMemory<Gfn>,
  moved: ReadonlyMap<Gfn, PageView>,
  permutation: BlockPermutation,
): PhysicalMemory<Gfn> {
  const back: BlockPermutation = new Map([...permutation].map(([block, place]) => [place, block]));
  return {
    page(frame) {
      const from = permutedFrame(back, frame);
      const page = moved.get(from) ?? memory.page(from);
      return page === undefined || permutation.size === 0 ? page : withPermutedFrames(page, permutation);
    },
    writablePage: (frame) => memory.writablePage(frame),
  };
}

function addressChange(moves: readonly Move[], permutation: BlockPermutation): AddressChange {
  return {
    virtual(address) {
      const frame = virtualFrameOf(virtualAddress(address));
      const to = movedTo(moves, frame) as typeof frame;
      return virtualAddressOf(to) + (address % BigInt(PAGE_SIZE));
    },
    physical(address) {
      const frame = frameOf(gpa(Number(address)));
      return BigInt(permutedFrame(permutation, frame)) * BigInt(PAGE_SIZE) + (address % BigInt(PAGE_SIZE));
    },
  };
}
