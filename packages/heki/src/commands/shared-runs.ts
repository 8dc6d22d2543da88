import type { SharedTable } from '@heki/x86';

/** Neighbouring places of one table, whose mappings were listed at another. */
export interface SharedRun {
  readonly first: SharedTable;
  readonly places: number;
}

/** Joins places that follow each other and have the same table. */
export class SharedRuns {
  #run: { readonly first: SharedTable; places: number } | undefined;

  /** The run before, if `place` begins another. */
  add(place: SharedTable): SharedRun | undefined {
    const run = this.#run;
    if (run !== undefined && isNext(run, place)) {
      run.places++;
      return undefined;
    }
    this.#run = { first: place, places: 1 };
    return run;
  }

  /** The run that has grown until now, if there is one. */
  end(): SharedRun | undefined {
    const run = this.#run;
    this.#run = undefined;
    return run;
  }
}

function isNext({ first, places }: SharedRun, place: SharedTable): boolean {
  return (
    first.table === place.table &&
    first.level === place.level &&
    first.visitedAt === place.visitedAt &&
    first.virtualFrame + first.frames * places === place.virtualFrame
  );
}
