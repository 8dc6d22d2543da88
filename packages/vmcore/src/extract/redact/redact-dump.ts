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
import { DUMP_LIMITS } from '../../limits.ts';
import type { Note } from '../../note.ts';
import type { DirectMap } from '../../root/direct-map.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import type { Vmcore } from '../../vmcore.ts';
import type { ExtractRoot } from '../extract-roots.ts';
import { findTablePages } from '../table-pages.ts';
import { checkRedaction, type Tables } from './check-redaction.ts';
import { CannotMove, type Move, movedTo } from './move.ts';
import { moveTables } from './move-tables.ts';
import { type BlockPermutation, permutedFrame, withPermutedFrames } from './permute-blocks.ts';
import { planMoves } from './plan-moves.ts';
import { planPermutation, splitByPermutation } from './plan-permutation.ts';
import { type AddressChange, redactNotes } from './redact-notes.ts';
import { type Remains, remainsOf } from './remains.ts';

/** A dump in which nothing is where KASLR put it, and whose notes tell no more than the commands need. */
export interface RedactedDump {
  /** Of table pages alone: what is in any other page does not belong to the dump. */
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
  const { encryptionBit } = kernel;
  try {
    if (kernel.otherDirectMaps.length > 0)
      throw new CannotMove('memory is mapped as in the direct map elsewhere, too');
    const places = planMoves(kernel);
    const { direct, image, others } = places;
    const plan = image === undefined ? 'it was not found' : planPermutation(kernel, image);
    const permutation: BlockPermutation = typeof plan === 'string' ? new Map() : plan;
    const moves = [
      ...splitByPermutation(direct, permutation),
      ...(image === undefined ? [] : [image]),
      ...others,
    ];
    const tables = { memory: core.memory, roots, encryptionBit };
    const spare = spareFrames(tables, kernel.directMap);
    const moved = moveTables(core.memory, roots, moves, { spare, encryptionBit });
    const memory = redactedMemory(core.memory, moved, permutation, encryptionBit);
    const redacted = roots.map((root) => ({ ...root, frame: permutedFrame(permutation, root.frame) }));
    checkRedaction(tables, { memory, roots: redacted, encryptionBit }, moves, permutation);
    const change = { ...addressChange(moves, permutation), encryptionBit };
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
  { memory, roots, encryptionBit }: Tables,
  { frames }: DirectMap,
): Generator<Gfn, undefined> {
  const pages = findTablePages(memory, roots, { user: true, limit: DUMP_LIMITS.tablePages, encryptionBit });
  const tables = new Set(pages.frames);
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
  encryptionBit: number | undefined,
): PhysicalMemory<Gfn> {
  const back: BlockPermutation = new Map([...permutation].map(([block, place]) => [place, block]));
  return {
    page(frame) {
      const from = permutedFrame(back, frame);
      const page = moved.get(from) ?? memory.page(from);
      if (page === undefined || permutation.size === 0) return page;
      return withPermutedFrames(page, permutation, encryptionBit);
    },
    writablePage: (frame) => memory.writablePage(frame),
  };
}

function addressChange(
  moves: readonly Move[],
  permutation: BlockPermutation,
): Pick<AddressChange, 'virtual' | 'physical'> {
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
