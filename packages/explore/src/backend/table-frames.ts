import type { Host } from '@heki/hypervisor';
import type { FrameRange, Pfn, StateDigest } from '@heki/physical-memory';

/** Frames for second-level tables, the lowest first, that can be brought back. */
export class TableFrames {
  readonly #start: number;
  readonly #taken: Uint8Array;

  constructor({ start, end }: FrameRange<Pfn>) {
    this.#start = start;
    this.#taken = new Uint8Array(end - start);
  }

  readonly port: Host['frames'] = {
    allocate: () => {
      const index = this.#taken.indexOf(0);
      if (index < 0) return undefined;
      this.#taken[index] = 1;
      return (this.#start + index) as Pfn;
    },
    free: (frame) => {
      this.#taken[frame - this.#start] = 0;
    },
  };

  /** What brings back which are free. */
  checkpoint(): () => void {
    const kept = this.#taken.slice();
    return () => this.#taken.set(kept);
  }

  digest(digest: StateDigest): void {
    const last = this.#taken.lastIndexOf(1);
    for (let index = 0; index <= last; index++) digest.word(this.#taken[index] ?? 0);
  }
}
