import { availableParallelism } from 'node:os';
import type { Queue } from '@heki/fleet';
import { openTelemetry } from '@heki/fleet/telemetry';
import { type WorkEvent, type WorkSummary, work, workerName } from '@heki/fleet/worker';
import type { CommandIo } from '../io.ts';
import { VERSION } from '../report/report-header.ts';
import { createAuditor } from './auditor.ts';

/** How jobs are done here. */
export interface WorkOptionsHere {
  readonly concurrency?: number;
  /** MiB of each process. */
  readonly memory: number;
  /** What goes to standard error. */
  readonly log: 'text' | 'json';
  readonly metrics?: { readonly host: string; readonly port: number };
}

/** Variables of the OpenTelemetry specification, without which nothing of it is loaded. */
const TRACE_ENDPOINTS = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] as const;

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
  const telemetry = await openTelemetry({
    ...{ hekiVersion: VERSION, worker: workerName(), metrics: options.metrics },
    onUntraced(reason) {
      const line =
        options.log === 'json'
          ? JSON.stringify({ level: 'warn', event: 'untraced', reason })
          : `heki: traces could not be sent: ${reason}`;
      void io.stderr.write(`${line}\n`);
    },
    log: options.log === 'json' ? (line) => void io.stderr.write(line) : undefined,
    traces:
      TRACE_ENDPOINTS.some((name) => (io.env[name] ?? '') !== '') && io.env.OTEL_SDK_DISABLED !== 'true',
  });
  const auditors = Array.from({ length: concurrencyOf(options) }, () => createAuditor(options.memory));
  try {
    return await work({
      ...{ queue, untilEmpty },
      onEvent(event) {
        telemetry.onEvent(event);
        onEvent(event);
      },
      auditors: auditors.map((one) => one.audit),
      stopped: io.interrupt?.() ?? new AbortController().signal,
    });
  } finally {
    for (const auditor of auditors) auditor.close();
    await telemetry.close();
  }
}
