import type { WorkItem } from './work-item.ts';

/**
 * What came of a work item, for good:
 *
 * - `pass`, `fail`: the verdict of the audit
 * - `unreadable`: the dump is damaged, or is none
 * - `changed`: what is at the address is no longer what was submitted
 */
export const OUTCOMES = ['pass', 'fail', 'unreadable', 'changed'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** A finding, as far as results are told apart by it. */
export interface ResultFinding {
  readonly id: string;
  readonly severity: string;
  readonly summary: string;
  readonly fingerprint: string;
  readonly pages: number;
  /** It makes the audit fail. */
  readonly fails: boolean;
}

/** What a worker found out. */
export interface Result {
  readonly outcome: Outcome;
  /** Why, in a line. Guests choose parts of it. */
  readonly text: string;
  /** The worst severity; `undefined` where nothing was found. */
  readonly worst: string | undefined;
  /** The kernel's banner; `undefined` where it is not known, or redacted. */
  readonly kernel: string | undefined;
  readonly findings: readonly ResultFinding[];
  /** What `heki audit --json` printed: an object of the shape `audit` or `error`. */
  readonly report: string;
  /** How long the audit took. */
  readonly milliseconds: number;
}

/** A result as it is kept. */
export interface StoredResult extends Omit<Result, 'report'> {
  readonly id: string;
  readonly item: WorkItem;
  /** By the database's clock. */
  readonly finishedAt: Date;
  /** Which worker: host and process. */
  readonly worker: string;
}
