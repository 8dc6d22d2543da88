import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { NamedLeaf } from '../heki-guest.ts';
import { leafPermissions } from '../permission.ts';

/**
 * Early init and protection page by page, but with the fastest storage there is for it: one element of flat arrays for
 * every page of memory. Only for benchmarks: it does just that one thing, and needs memory for every frame.
 */
export class FlatModel {
  readonly #counters: readonly Uint16Array[];
  #end = 0;
  #permissions = 0;
  /** `start`, `end` and `permissions` of each range, one after the other. */
  readonly ranges: number[] = [];

  constructor(validFrames: readonly FrameRange<Gfn>[]) {
    const frames = validFrames.at(-1)?.end ?? 0;
    this.#counters = [new Uint16Array(frames), new Uint16Array(frames), new Uint16Array(frames)];
  }

  readonly map = ({ guestFrame, frames, low, high }: NamedLeaf): void => {
    const permissions = leafPermissions(low, high);
    const [read, write, execute] = this.#counters;
    if (read === undefined || write === undefined || execute === undefined) return;
    for (let frame: number = guestFrame; frame < guestFrame + frames; frame++) {
      read[frame] = (read[frame] ?? 0) + 1;
      if ((permissions & 2) !== 0) write[frame] = (write[frame] ?? 0) + 1;
      if ((permissions & 4) !== 0) execute[frame] = (execute[frame] ?? 0) + 1;
    }
  };

  readonly protect = ({ guestFrame, frames, low }: NamedLeaf): void => {
    const [read, write, execute] = this.#counters;
    if (read === undefined || write === undefined || execute === undefined) return;
    for (let frame: number = guestFrame; frame < guestFrame + frames; frame++) {
      let permissions = 3;
      if (read[frame] !== 0) {
        if ((low & 2) !== 0 && write[frame] === 0) write[frame] = 1;
        permissions = 1 + (write[frame] === 0 ? 8 : 2) + (execute[frame] === 0 ? 0 : 4);
      }
      if (frame === this.#end && permissions === this.#permissions) {
        this.ranges[this.ranges.length - 2] = frame + 1;
      } else {
        this.ranges.push(frame, frame + 1, permissions);
        this.#permissions = permissions;
      }
      this.#end = frame + 1;
    }
  };
}
