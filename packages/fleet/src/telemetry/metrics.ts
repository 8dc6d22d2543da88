import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';
import { FleetError } from '../error.ts';
import { OUTCOMES } from '../result.ts';
import { FAILURES } from '../worker/job-failure.ts';
import type { Telemetry } from './telemetry.ts';

/** Seconds. */
const AUDIT_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600];
const QUEUE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5];

/** Serves what a worker has done, and its process, to Prometheus. @throws {FleetError} where it cannot listen there */
export async function serveMetrics(address: {
  readonly host: string;
  readonly port: number;
}): Promise<Telemetry> {
  // One of its own: a process may have several workers.
  const register = new Registry();
  const registers = [register];
  collectDefaultMetrics({ register });
  const results = new Counter({
    ...{ name: 'heki_fleet_results_total', help: 'Results that were kept', registers },
    labelNames: ['outcome'],
  });
  const failures = new Counter({
    ...{ name: 'heki_fleet_failures_total', help: 'Jobs that came to nothing, each time', registers },
    labelNames: ['failure'],
  });
  const waits = new Counter({
    ...{ name: 'heki_fleet_database_waits_total', help: 'Times that the database could not be reached' },
    registers,
  });
  const audits = new Histogram({
    ...{ name: 'heki_fleet_audit_seconds', help: 'The job, in its process', registers },
    buckets: AUDIT_BUCKETS,
  });
  const queue = new Histogram({
    ...{ name: 'heki_fleet_queue_seconds', help: 'To take a job, and to keep what came of it', registers },
    buckets: QUEUE_BUCKETS,
  });
  // A series that is not there yet cannot be told from one that is lost.
  for (const outcome of OUTCOMES) results.inc({ outcome }, 0);
  for (const failure of FAILURES) failures.inc({ failure }, 0);

  const server = createServer((request, answer) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      answer.writeHead(404).end();
      return;
    }
    void register.metrics().then((text) => {
      answer.writeHead(200, { 'content-type': register.contentType }).end(text);
    });
  });
  await listening(server, address);
  server.unref();
  return {
    onEvent(event) {
      if (event.event === 'waiting') {
        waits.inc();
        return;
      }
      audits.observe(event.timing.auditing / 1000);
      queue.observe((event.timing.taking + event.timing.keeping) / 1000);
      if (event.event === 'done') results.inc({ outcome: event.result.outcome });
      else failures.inc({ failure: event.failure });
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function listening(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  server.listen(port, host);
  // It rejects when there is an error first.
  await once(server, 'listening').catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new FleetError(`metrics cannot be served at ${host}:${port}: ${why}`, { cause: error });
  });
}
