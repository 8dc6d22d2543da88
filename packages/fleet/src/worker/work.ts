import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Job, Queue } from '../queue/queue-port.ts';
import type { Result } from '../result.ts';
import { isPassing } from './is-passing.ts';
import { type Failure, JobFailure } from './job-failure.ts';

/** What a worker does with jobs. */
export interface WorkSettings {
  readonly queue: Queue;
  /** One for each job at a time. What it throws makes the job be tried again, and be set aside in the end. */
  readonly auditors: readonly Auditor[];
  /** Ends when nothing waits any more, and nothing is being done; otherwise only when `stopped`. */
  readonly untilEmpty: boolean;
  /** No new job is begun from then on. */
  readonly stopped: AbortSignal;
  readonly onEvent?: (event: WorkEvent) => void;
}

export type Auditor = (job: Job) => Promise<Result>;

/** How long a job took. */
export interface JobTiming {
  /** When it was asked for: milliseconds since 1970, by the clock of this machine. */
  readonly begun: number;
  /** Milliseconds: to take it, to do it, and to keep what came of it. */
  readonly taking: number;
  readonly auditing: number;
  readonly keeping: number;
}

export type WorkEvent =
  | { readonly event: 'done'; readonly job: Job; readonly timing: JobTiming; readonly result: Result }
  | {
      readonly event: 'failed';
      readonly job: Job;
      readonly timing: JobTiming;
      readonly failure: Failure;
      readonly reason: string;
    }
  /** The database cannot be reached; it is tried again. */
  | { readonly event: 'waiting'; readonly reason: string };

/** What a worker has done. */
export interface WorkSummary {
  readonly done: number;
  readonly failed: number;
  /** Milliseconds, of all slots together: the audits, and the queue. */
  readonly auditing: number;
  readonly queueing: number;
}

/** Milliseconds between two looks at an empty queue: twice as many each time. A thousand workers that wait must not keep a server busy. */
const FIRST_IDLE = 250;
const LONGEST_IDLE = 5000;
/** Milliseconds before the database is tried again: twice as many each time. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;
/** Milliseconds without a database, after which a worker gives up: its jobs have long gone to others. */
const PATIENCE = 15 * 60_000;

/** What results say of this process. */
export function workerName(): string {
  return `${hostname()}:${process.pid}`;
}

/** Takes jobs and does them, until there are none. */
export async function work({
  queue,
  auditors,
  untilEmpty,
  stopped,
  onEvent,
}: WorkSettings): Promise<WorkSummary> {
  const worker = workerName();
  const total = { done: 0, failed: 0, auditing: 0, queueing: 0 };

  /** `ask`, again and again where the database is away. */
  async function patiently<Value>(ask: () => Promise<Value>): Promise<Value> {
    const begun = performance.now();
    for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      const asked = performance.now();
      try {
        const value = await ask();
        total.queueing += performance.now() - asked;
        return value;
      } catch (error) {
        if (!isPassing(error) || performance.now() - begun > PATIENCE) throw error;
        onEvent?.({ event: 'waiting', reason: error.message });
        await delay(pause);
      }
    }
  }

  async function doJob(job: Job, auditor: Auditor, begun: number, taking: number): Promise<void> {
    const started = performance.now();
    const outcome = await auditor(job).catch(failureOf);
    const audited = performance.now();
    total.auditing += audited - started;
    await patiently(() =>
      outcome instanceof JobFailure ? queue.fail(job, outcome.message) : queue.finish(job, outcome, worker),
    );
    const timing = { begun, taking, auditing: audited - started, keeping: performance.now() - audited };
    if (outcome instanceof JobFailure) {
      total.failed++;
      onEvent?.({ event: 'failed', job, timing, failure: outcome.failure, reason: outcome.message });
    } else {
      total.done++;
      onEvent?.({ event: 'done', job, timing, result: outcome });
    }
  }

  async function slot(auditor: Auditor): Promise<void> {
    for (let idle = FIRST_IDLE; !stopped.aborted; ) {
      const [begun, asked] = [Date.now(), performance.now()];
      const job = await patiently(() => queue.take());
      if (job !== undefined) {
        await doJob(job, auditor, begun, performance.now() - asked);
        idle = FIRST_IDLE;
        continue;
      }
      // What others have, or what failed just now, may come back.
      if (untilEmpty && !(await patiently(() => queue.isBusy()))) return;
      await delay(idle, undefined, { signal: stopped }).catch(() => {});
      idle = Math.min(2 * idle, LONGEST_IDLE);
    }
  }

  await Promise.all(auditors.map(slot));
  return total;
}

/** What an auditor throws that is about no process is about files, or the way to them. */
function failureOf(error: unknown): JobFailure {
  if (error instanceof JobFailure) return error;
  return new JobFailure('not-read', error instanceof Error ? error.message : String(error));
}
