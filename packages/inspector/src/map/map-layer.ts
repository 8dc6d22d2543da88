import type { Run } from '../memory/bounded-runs.ts';

/** Frames of one colour. */
export interface ColouredRun extends Run {
  /** Index of a class: of several in one place the largest is shown. */
  readonly pageClass: number;
}

/** One of the ways in which a map can be coloured. */
export interface MapLayer {
  readonly id: string;
  readonly title: string;
  /** What colours mean; the first two are always what is no RAM, and RAM of which nothing is known. */
  readonly classes: readonly { readonly name: string; readonly title: string }[];
  /** Ascending and apart. */
  readonly runs: readonly ColouredRun[];
}
