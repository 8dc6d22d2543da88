/** A frame allocator as anyone would first write it: the set of the free frames. */
export class FrameSet {
  readonly free: Set<number>;
  readonly owned: ReadonlySet<number>;

  constructor(ranges: readonly { readonly start: number; readonly end: number }[]) {
    const frames = ranges.flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, i) => start + i),
    );
    this.free = new Set(frames);
    this.owned = new Set(frames);
  }

  allocate(frames: number, alignment: number): number | undefined {
    for (const first of [...this.free].sort((a, b) => a - b)) {
      const run = Array.from({ length: frames }, (_, i) => first + i);
      if (first % alignment !== 0 || !run.every((frame) => this.free.has(frame))) continue;
      for (const frame of run) this.free.delete(frame);
      return first;
    }
    return undefined;
  }

  /** Whether the frames could be freed. */
  give(first: number, frames: number): boolean {
    const run = Array.from({ length: frames }, (_, i) => first + i);
    if (!run.every((frame) => this.owned.has(frame) && !this.free.has(frame))) return false;
    for (const frame of run) this.free.add(frame);
    return true;
  }
}
