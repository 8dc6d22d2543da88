import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Job, Queue } from '../queue/queue-port.ts';
import type { Result } from '../result.ts';
import { isPassing } from './is-passing.ts';

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

export type WorkEvent =
  | { readonly event: 'done'; readonly job: Job; readonly result: Result }
  | { readonly event: 'failed'; readonly job: Job; readonly reason: string }
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

/** Takes jobs and does them, until there are none. */
export async function work({
  queue,
  auditors,
  untilEmpty,
  stopped,
  onEvent,
}: WorkSettings): Promise<WorkSummary> {
  const worker = `${hostname()}:${process.pid}`;
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

  async function doJob(job: Job, auditor: Auditor): Promise<void> {
    const begun = performance.now();
    const outcome = await auditor(job).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    );
    total.auditing += performance.now() - begun;
    if (typeof outcome === 'string') {
      await patiently(() => queue.fail(job, outcome));
      total.failed++;
      onEvent?.({ event: 'failed', job, reason: outcome });
    } else {
      await patiently(() => queue.finish(job, outcome, worker));
      total.done++;
      onEvent?.({ event: 'done', job, result: outcome });
    }
  }

  async function slot(auditor: Auditor): Promise<void> {
    for (let idle = FIRST_IDLE; !stopped.aborted; ) {
      const job = await patiently(() => queue.take());
      if (job !== undefined) {
        await doJob(job, auditor);
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
