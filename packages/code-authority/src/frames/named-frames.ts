import { type Gfn, PAGE_WORDS, type Pfn } from '@heki/physical-memory';
import { type Answer, granted, refused } from '../answer.ts';
import type { AuthorityState } from '../state.ts';
import { retype } from './pages.ts';

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

/**
 * The same, and all empty: a stack or a page table in use is not. Whoever compares finds there what is to be compared (B-A6).
 *
 * @param filler a word that an empty page may hold throughout, in place of 0: no present entry of a page table
 */
export function emptyFrames(
  state: AuthorityState,
  named: readonly (readonly Gfn[])[],
  filler = 0,
): Answer<Pfn[][]> {
  const found = freeFrames(state, named);
  const used = found.ok && !state.defects['B-A6'] ? firstUsed(state, found.value.flat(), filler) : undefined;
  return used === undefined ? found : inUse(used);
}

/** Takes empty frames away from everybody. What was put into one of them meanwhile is given back as it is. */
export function takeAway(state: AuthorityState, frames: readonly Pfn[], image: number, filler = 0): Answer {
  retype(state, frames, 'staged', image);
  const used = firstUsed(state, frames, filler);
  if (used === undefined) return granted();
  retype(state, frames, 'retired', 0);
  retype(state, frames, 'free', 0);
  return inUse(used);
}

/** The first of some frames that holds something; B-A11 does not look. */
function firstUsed(
  { host, defects }: AuthorityState,
  frames: readonly Pfn[],
  filler: number,
): Pfn | undefined {
  if (defects['B-A11']) return undefined;
  return frames.find((frame) => {
    const page = host.memory.page(frame);
    if (page === undefined) return false;
    const empty = page[0] === filler ? filler : 0;
    for (let word = 0; word < PAGE_WORDS; word++) if (page[word] !== empty) return true;
    return false;
  });
}

function inUse(frame: Pfn): ReturnType<typeof refused> {
  return refused('not-free', `host frame ${frame} is not empty: it may be in use`);
}
