import type { Gfn, Pfn } from '@heki/physical-memory';
import { type Answer, granted, refused } from '../answer.ts';
import type { AuthorityState } from '../state.ts';

/**
 * The host frames behind the guest frames that a request names: memory, each named once, and all free. Two guest frames over one host frame
 * are one frame.
 */
export function freeFrames(state: AuthorityState, named: readonly (readonly Gfn[])[]): Answer<Pfn[][]> {
  const taken = new Set<number>();
  const found: Pfn[][] = [];
  for (const part of named) {
    const frames: Pfn[] = [];
    for (const gfn of part) {
      const frame = state.host.hostFrame(gfn);
      if (frame === undefined) return refused('not-free', `guest frame ${gfn} is not memory`);
      if (state.frames.of(frame).type !== 'free' || taken.has(frame))
        return refused('not-free', `guest frame ${gfn} holds something already`);
      taken.add(frame);
      frames.push(frame);
    }
    found.push(frames);
  }
  return granted(found);
}
