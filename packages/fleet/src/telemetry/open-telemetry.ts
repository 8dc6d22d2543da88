import type { Telemetry, TelemetryOptions } from './telemetry.ts';

/**
 * Tells of a worker to whom the options name. The library of each is loaded where it is asked for, and not otherwise.
 *
 * @throws {FleetError} where metrics cannot be served
 */
export async function openTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { log, metrics, traces = false } = options;
  const all: Telemetry[] = [];
  if (metrics !== undefined) all.push(await (await import('./metrics.ts')).serveMetrics(metrics));
  if (traces) all.push((await import('./traces.ts')).createTraces(options));
  if (log !== undefined) all.push((await import('./log.ts')).createLog(log, options));
  return {
    onEvent(event) {
      for (const one of all) one.onEvent(event);
    },
    async close() {
      await Promise.all(all.map((one) => one.close()));
    },
  };
}
