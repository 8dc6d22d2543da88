import { PAGE_SIZE, PAGE_WORDS, type Pfn } from '@heki/physical-memory';
import type { AuthorityState } from '../state.ts';
import { type FrameType, RIGHTS } from './frame-type.ts';

/** A frame's bytes, to be written. @throws {RangeError} for a frame that the host does not have: it was looked at before */
export function pageBytes({ host }: Pick<AuthorityState, 'host'>, frame: Pfn): Uint8Array {
  const page = host.memory.writablePage(frame);
  if (page === undefined) throw new RangeError(`host frame ${frame} is not there`);
  return new Uint8Array(page.buffer, page.byteOffset, PAGE_SIZE);
}

/** Writes `bytes` into frames that only the owner can reach. */
export function writePages(state: AuthorityState, frames: readonly Pfn[], bytes: Uint8Array): void {
  for (const [index, frame] of frames.entries()) {
    pageBytes(state, frame).set(bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE));
  }
}

/** What memory that was never written holds. */
const ZEROS = new Uint32Array(PAGE_WORDS);

/** Where frames hold something else than `bytes`: the offset of the first such byte, or -1. */
export function firstDifference(state: AuthorityState, frames: readonly Pfn[], bytes: Uint8Array): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
  for (const [index, frame] of frames.entries()) {
    const page = state.host.memory.page(frame) ?? ZEROS;
    const first = index * PAGE_WORDS;
    for (let word = 0; word < PAGE_WORDS; word++) {
      if (page[word] === words[first + word]) continue;
      // The lowest byte that differs: memory is little-endian.
      const different = ((page[word] ?? 0) ^ (words[first + word] ?? 0)) >>> 0;
      return (first + word) * 4 + Math.floor((31 - Math.clz32(different & -different)) / 8);
    }
  }
  return -1;
}

/** Gives frames a type, and their rights with it; in force on every processor when it returns, but for B-A4. */
export function retype(state: AuthorityState, frames: readonly Pfn[], type: FrameType, image: number): void {
  state.frames.become(frames, type, image);
  state.host.setRights(frames, RIGHTS[type]);
  if (!state.defects['B-A4']) state.host.flush();
}

/** Gives frames that are retired back to the guest, empty: no access could reach them, and no processor has anything of them cached. */
export function release(state: AuthorityState, frames: readonly Pfn[]): void {
  for (const frame of frames) pageBytes(state, frame).fill(0);
  retype(state, frames, 'free', 0);
}
