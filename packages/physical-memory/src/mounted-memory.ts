import { FRAME_END, type FrameNumber, type Gfn, type Pfn } from './address.ts';
import { PhysicalMemoryError } from './error.ts';
import { checkFrameRanges, createFrameIndex } from './frame-range.ts';
import { hex } from './hex.ts';
import type { PhysicalMemory } from './physical-memory.ts';

/** A stretch of one memory that appears at other frame numbers in a composition. */
export interface Mount<Frame extends FrameNumber, From extends FrameNumber> {
  /** The first frame of the composition. */
  readonly start: Frame;
  /** How many frames. */
  readonly frames: number;
  readonly memory: PhysicalMemory<From>;
  /** The frame of `memory` that appears at `start`. */
  readonly from: From;
}

/** A mount of either kind of memory: guest RAM in the host, host RAM in the host, more RAM beside a guest's. */
export type AnyMount<Frame extends FrameNumber> = Mount<Frame, Gfn> | Mount<Frame, Pfn>;

/** A memory composed of stretches of others. */
export interface MountedMemory<Frame extends FrameNumber> extends PhysicalMemory<Frame> {
  /** Sorted by start. */
  readonly mounts: readonly AnyMount<Frame>[];
  /** The mount that `frame` lies in. */
  mountAt(frame: Frame): AnyMount<Frame> | undefined;
  /**
   * Where the composition shows `frame` of `memory`, one of the mounted memories: for guest RAM mounted in host
   * memory, the host frame of a guest frame. `undefined` when it is not mounted.
   */
  frameFor<From extends FrameNumber>(memory: PhysicalMemory<From>, frame: From): Frame | undefined;
  /**
   * The frame that a frame of the composition shows, in the numbers of the mounted memory `memory`: for guest RAM
   * in host memory, the guest frame of a host frame. `undefined` when something else is there.
   */
  frameIn<From extends FrameNumber>(memory: PhysicalMemory<From>, frame: Frame): From | undefined;
}

/**
 * Composes a memory of stretches of others; frames between them are absent. Every store goes to the memory that is
 * mounted there.
 *
 * @throws {PhysicalMemoryError} when a mount is empty, reaches beyond 2^40 on either side, or overlaps another
 */
export function createMountedMemory<Frame extends FrameNumber>(options: {
  readonly mounts: readonly AnyMount<Frame>[];
}): MountedMemory<Frame> {
  const mounts = [...options.mounts].sort((a, b) => a.start - b.start);
  const ranges = checkFrameRanges(
    mounts.map(({ start, frames }) => ({ start, end: (start + frames) as Frame })),
  );
  for (const { from, frames } of mounts) {
    if (!Number.isSafeInteger(from) || from < 0 || from + frames > FRAME_END) {
      throw new PhysicalMemoryError(
        `cannot mount ${hex(frames)} frames from ${hex(from)} on: expected frames from 0 to ${hex(FRAME_END)}`,
      );
    }
  }
  const find = createFrameIndex(ranges);
  const shifts = mounts.map(({ start, from }) => from - start);
  const memories = mounts.map(({ memory }) => memory as PhysicalMemory);

  return {
    mounts,
    mountAt: (frame) => mounts[find(frame)],
    frameFor(memory, frame) {
      for (const { start, frames, memory: mounted, from } of mounts) {
        if (mounted === (memory as unknown) && frame >= from && frame < from + frames) {
          return (start + (frame - from)) as typeof start;
        }
      }
      return undefined;
    },
    frameIn(memory, frame) {
      const index = find(frame);
      if (memories[index] !== (memory as unknown)) return undefined;
      return (frame + (shifts[index] ?? 0)) as never;
    },
    page(frame) {
      const index = find(frame);
      return index < 0 ? undefined : memories[index]?.page((frame + (shifts[index] ?? 0)) as Frame);
    },
    writablePage(frame) {
      const index = find(frame);
      return index < 0 ? undefined : memories[index]?.writablePage((frame + (shifts[index] ?? 0)) as Frame);
    },
  };
}
