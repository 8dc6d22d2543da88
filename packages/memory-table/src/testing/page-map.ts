/** The obvious memory table: a Map with one entry for every page that has a value. */
export class PageMap<Value> {
  readonly pages = new Map<number, Value>();

  update(start: number, end: number, transform: (value: Value | undefined) => Value | undefined): void {
    for (let frame = start; frame < end; frame++) {
      const value = transform(this.pages.get(frame));
      if (value === undefined) this.pages.delete(frame);
      else this.pages.set(frame, value);
    }
  }

  /** Runs of consecutive frames with equal values, ascending. */
  extents(): { start: number; end: number; value: Value }[] {
    const runs: { start: number; end: number; value: Value }[] = [];
    for (const frame of [...this.pages.keys()].sort((a, b) => a - b)) {
      const value = this.pages.get(frame) as Value;
      const last = runs.at(-1);
      if (last !== undefined && last.end === frame && last.value === value) last.end++;
      else runs.push({ start: frame, end: frame + 1, value });
    }
    return runs;
  }
}
