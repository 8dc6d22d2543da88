import type { Outcome, Result, StoredResult } from '../result.ts';
import type { WorkItem } from '../work-item.ts';

/** A work item that a worker has taken. */
export interface Job {
  readonly id: string;
  readonly item: WorkItem;
  /** How often it was taken before: a job is taken three times at most, and three times more after each {@link Queue.retry}. */
  readonly attempt: number;
  /** Seconds that it may take. */
  readonly timeLimit: number;
}

/** What is in the queue and beside it. */
export interface FleetStatus {
  /** Nobody has taken them yet. */
  readonly waiting: number;
  /** Of these, those for other versions of heki, by version. */
  readonly waitingForOthers: Readonly<Record<string, number>>;
  readonly active: number;
  readonly cancelled: number;
  /** Taken three times, and each time it failed. */
  readonly setAside: number;
  readonly results: Readonly<Record<Outcome, number>>;
  /** Results of the last minute. */
  readonly lastMinute: number;
  /** Reasons of what is set aside, with `SOURCE` for the address of each; the most frequent first, at most twenty. */
  readonly reasons: readonly { readonly reason: string; readonly count: number }[];
}

/** A job that failed for good. */
export interface SetAside {
  readonly id: string;
  /** Of its source; `?` where the job is no work item. */
  readonly uri: string;
  readonly reason: string;
  readonly attempts: number;
  readonly at: Date;
}

/** Which results are asked for. What is left out does not matter. */
export interface ResultFilter {
  readonly ids?: readonly string[] | undefined;
  readonly since?: Date | undefined;
  /** Id of a finding. */
  readonly finding?: string | undefined;
  readonly outcome?: Outcome | undefined;
}

/**
 * Jobs and their results, in one database. Every method may be called again when it failed: nothing is lost, and nothing is there
 * twice. Times are those of the database: the clock of whoever calls does not matter.
 */
export interface Queue {
  /**
   * Adds what is not there yet, neither as a job nor as a result other than `changed`. Gives how many were added.
   *
   * @param timeLimit seconds that each may take
   */
  submit(items: readonly WorkItem[], timeLimit: number): Promise<number>;
  /** The next job; `undefined` where none waits. Whoever took it has its time limit and a minute, then it goes to somebody else. */
  take(): Promise<Job | undefined>;
  /** Keeps `result` and ends the job in one transaction. The first result stays, unless it is `changed`. */
  finish(job: Job, result: Result, worker: string): Promise<void>;
  /** Gives the job back to be tried again; after the third time it is set aside with `reason`. */
  fail(job: Job, reason: string): Promise<void>;
  status(): Promise<FleetStatus>;

  /** Whether jobs for this version wait, or are being done. */
  isBusy(): Promise<boolean>;
  /** Results, the oldest first, without their reports. */
  results(filter: ResultFilter): AsyncIterable<StoredResult>;
  /** The report of a result; `undefined` where there is none. */
  report(id: string): Promise<string | undefined>;
  setAside(): Promise<readonly SetAside[]>;
  /** Gives what was set aside, or cancelled, back to the workers, for three attempts; all of it without `ids`. Gives how many. */
  retry(ids?: readonly string[]): Promise<number>;
  /** Takes back what waits; all of it without `ids`. Gives how many. */
  cancel(ids?: readonly string[]): Promise<number>;
  /** Forgets results, and jobs that were set aside or cancelled, that are older than `days`. Gives how many. */
  purge(days: number): Promise<number>;
  close(): Promise<void>;
}
