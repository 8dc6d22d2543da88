/** The outcome of one file of vectors. */
export interface VectorResult {
  readonly passed: number;
  readonly failed: number;
  /** The first differences in full, at most five: the case, what was expected, what the model gave. */
  readonly differences: readonly string[];
}

/** One kind of vectors: how to recognise a file of it, and how to run one. */
export interface VectorKind {
  /** Whether the file at `path` (relative to the searched folder, `/` between parts) is one to run. */
  readonly matches: (path: string) => boolean;
  /** Runs the whole file at the absolute `path`. */
  readonly run: (path: string) => VectorResult;
}

/** Gathers the outcomes of single cases into a {@link VectorResult}. */
export class ResultCounter implements VectorResult {
  passed = 0;
  failed = 0;
  readonly differences: string[] = [];

  /** Counts one case; `difference` is asked only while differences are still shown. */
  count(ok: boolean, difference: () => string): void {
    if (ok) {
      this.passed++;
      return;
    }
    this.failed++;
    if (this.differences.length < 5) this.differences.push(difference());
  }
}
