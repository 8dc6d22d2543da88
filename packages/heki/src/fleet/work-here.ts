import { availableParallelism } from 'node:os';
import type { Queue } from '@heki/fleet';
import { type WorkEvent, type WorkSummary, work } from '@heki/fleet/worker';
import type { CommandIo } from '../io.ts';
import { createAuditor } from './auditor.ts';

/** How jobs are done here. */
export interface WorkOptionsHere {
  readonly concurrency?: number;
  /** MiB of each process. */
  readonly memory: number;
}

/** Jobs at the same time. */
export function concurrencyOf({ concurrency = availableParallelism() }: WorkOptionsHere): number {
  return concurrency;
}

/** Does jobs of `queue` in processes of their own, which end with it. After Ctrl-C it finishes what was begun. */
export async function workHere(
  queue: Queue,
  options: WorkOptionsHere,
  untilEmpty: boolean,
  io: CommandIo,
  onEvent: (event: WorkEvent) => void,
): Promise<WorkSummary> {
  const auditors = Array.from({ length: concurrencyOf(options) }, () => createAuditor(options.memory));
  try {
    return await work({
      ...{ queue, untilEmpty, onEvent },
      auditors: auditors.map((one) => one.audit),
      stopped: io.interrupt?.() ?? new AbortController().signal,
    });
  } finally {
    for (const auditor of auditors) auditor.close();
  }
}
