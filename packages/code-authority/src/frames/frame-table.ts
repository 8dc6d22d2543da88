import { createMemoryTable, type MemoryTable } from '@heki/memory-table';
import { hex, type Pfn } from '@heki/physical-memory';
import { CodeAuthorityError } from '../error.ts';
import { FRAME_TYPES, type FrameType, mayBecome } from './frame-type.ts';

/** What the owner knows of a frame. */
export interface FrameEntry {
  readonly type: FrameType;
  /** The image that it belongs to; 0 for none. */
  readonly image: number;
}

const FREE: FrameEntry = { type: 'free', image: 0 };

/**
 * The types of all host frames, in extents. Host frames, not the guest's: two guest frames over one host frame must not have two types.
 * What is not in the table is free.
 */
export class FrameTable {
  /** Type in the low bits, image above. */
  readonly #codes: MemoryTable<number, Pfn> = createMemoryTable<number, Pfn>();

  of(frame: Pfn): FrameEntry {
    const code = this.#codes.get(frame);
    if (code === undefined) return FREE;
    const type = FRAME_TYPES[code % FRAME_TYPES.length] ?? 'free';
    return { type, image: Math.floor(code / FRAME_TYPES.length) };
  }

  /**
   * Gives each frame another type.
   *
   * @throws {CodeAuthorityError} when one of them may not have it: the caller has not looked
   */
  become(frames: readonly Pfn[], type: FrameType, image: number): void {
    for (const frame of frames) {
      const now = this.of(frame);
      if (!mayBecome(now.type, type)) {
        throw new CodeAuthorityError(`host frame ${hex(frame)} is ${now.type}: it cannot become ${type}`);
      }
    }
    const code = FRAME_TYPES.indexOf(type) + FRAME_TYPES.length * image;
    // Frames in a row are one entry.
    for (let first = 0, next = 1; first < frames.length; first = next, next++) {
      const start = frames[first] ?? (0 as Pfn);
      while (frames[next] === start + (next - first)) next++;
      const end = (start + (next - first)) as Pfn;
      if (type === 'free') this.#codes.clear(start, end);
      else this.#codes.set(start, end, code);
    }
  }

  /** All types are gone. */
  clear(): void {
    this.#codes.clear(0 as Pfn, (2 ** 40) as Pfn);
  }

  /** The frames that hold something, in ascending order. */
  frames(): Pfn[] {
    return [...this.#codes.extents()].flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, index) => (start + index) as Pfn),
    );
  }

  /** What brings back the types of now. */
  checkpoint(): () => void {
    const extents = [...this.#codes.extents()];
    return () => {
      this.clear();
      for (const { start, end, value } of extents) this.#codes.set(start, end, value);
    };
  }
}
