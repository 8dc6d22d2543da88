import { type Gfn, gfn, type PhysicalMemory } from '@heki/physical-memory';

/** Pages by guest frame, filled by the test; every other frame is absent. */
export function scatteredMemory(pages: ReadonlyMap<number, Uint32Array>): PhysicalMemory<Gfn> {
  return { page: (frame) => pages.get(frame), writablePage: (frame) => pages.get(frame) };
}

/** A page of zeroes at each of `frames`. */
export function zeroPages(...frames: number[]): Map<number, Uint32Array> {
  return new Map(frames.map((frame) => [gfn(frame), new Uint32Array(1024)]));
}
