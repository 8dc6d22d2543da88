import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import type { Job } from '../queue/queue-port.ts';
import type { Result } from '../result.ts';
import type { WorkEvent } from '../worker/work.ts';
import { openTelemetry } from './open-telemetry.ts';

afterEach(() => vi.unstubAllEnvs());

/** What a guest may put wherever it has a say. */
const HOSTILE = 'SECRET\u0000\u001b]0;x\u0007\u009b31m\u202e\u2028\ud800</script>"\n';
const WHO = { hekiVersion: '1.0.0', worker: 'host:1' };
const timing = { begun: 1_790_000_000_000, taking: 2, auditing: 300, keeping: 4 };

function job(uri: string): Job {
  return {
    ...{ id: '780713ff-c35a-8252-985a-fca2f45078aa', attempt: 1, timeLimit: 60 },
    item: { source: { uri, fingerprint: 'f' }, command: 'audit', options: {}, hekiVersion: '1.0.0' },
  };
}

const FINDING = {
  ...{ id: 'heki/wx-alias', severity: 'critical', summary: HOSTILE, fingerprint: HOSTILE, pages: 1 },
  fails: true,
};
const result: Result = {
  ...{ outcome: 'fail', text: HOSTILE, worst: 'critical', kernel: HOSTILE, findings: [FINDING] },
  ...{ report: HOSTILE, milliseconds: 300 },
};

const EVENTS: readonly WorkEvent[] = [
  { event: 'done', job: job('/dumps/\u202e\u009b31m\u001b.elf'), timing, result },
  { event: 'failed', job: job('/dumps/b'), timing, failure: 'not-read', reason: HOSTILE },
  { event: 'waiting', reason: 'connect ECONNREFUSED 127.0.0.1:5432' },
];

/** Ports that nobody has: one that is asked for. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('a line of the log is JSON in plain letters, and has nothing that a guest wrote', async () => {
  const lines: string[] = [];
  const telemetry = await openTelemetry({ ...WHO, log: (line) => lines.push(line) });
  for (const event of EVENTS) telemetry.onEvent(event);
  await telemetry.close();
  expect(lines.join('')).toMatch(/^[\n\x20-\x7e]+$/);
  expect(lines.join('')).not.toMatch(/SECRET|script/);
  const about = { worker: 'host:1', job: job('').id, attempt: 1, takingMs: 2, auditingMs: 300, keepingMs: 4 };
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'info', event: 'begun', heki: '1.0.0' },
    {
      ...{ ...about, level: 'info', event: 'done', source: '/dumps/\u202e\u009b31m\u001b.elf' },
      ...{ outcome: 'fail', findings: 1 },
    },
    { ...about, level: 'error', event: 'failed', source: '/dumps/b', failure: 'not-read' },
    { level: 'warn', event: 'waiting', reason: 'connect ECONNREFUSED 127.0.0.1:5432' },
    { level: 'info', event: 'ended' },
  ]);
});

test('Prometheus gets what was done, each kind from the beginning, and how the process is', async () => {
  const metrics = { host: '127.0.0.1', port: await freePort() };
  const telemetry = await openTelemetry({ ...WHO, metrics });
  const asked = async () => (await fetch(`http://127.0.0.1:${metrics.port}/metrics`)).text();
  expect(await asked()).toContain('heki_fleet_results_total{outcome="fail"} 0\n');
  for (const event of EVENTS) telemetry.onEvent(event);
  const text = await asked();
  for (const line of [
    'heki_fleet_results_total{outcome="fail"} 1',
    'heki_fleet_results_total{outcome="pass"} 0',
    'heki_fleet_failures_total{failure="not-read"} 1',
    'heki_fleet_database_waits_total 1',
    'heki_fleet_audit_seconds_bucket{le="0.25"} 0',
    'heki_fleet_audit_seconds_bucket{le="0.5"} 2',
    'heki_fleet_queue_seconds_sum 0.012',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
  expect(text).toContain('process_resident_memory_bytes ');
  expect(text).not.toContain('SECRET');
  expect((await fetch(`http://127.0.0.1:${metrics.port}/`)).status).toBe(404);
  await expect(openTelemetry({ ...WHO, metrics })).rejects.toThrow(
    `metrics cannot be served at 127.0.0.1:${metrics.port}: `,
  );
  await telemetry.close();
});

test('a collector of OpenTelemetry gets a trace of each job, with its parts', async () => {
  const bodies: string[] = [];
  const collector = createServer((request, answer) => {
    request.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
    request.on('end', () => answer.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `http://127.0.0.1:${port}`);
  const telemetry = await openTelemetry({ ...WHO, traces: true });
  for (const event of EVENTS) telemetry.onEvent(event);
  await telemetry.close();
  collector.close();
  collector.closeAllConnections();

  const body = bodies.join('');
  expect(body).not.toContain('SECRET');
  const [{ resource, scopeSpans }] = JSON.parse(body).resourceSpans;
  expect(resource.attributes).toContainEqual({ key: 'service.version', value: { stringValue: '1.0.0' } });
  const spans: {
    name: string;
    spanId: string;
    parentSpanId?: string;
    endTimeUnixNano: string;
    status: object;
  }[] = scopeSpans[0].spans;
  const jobs = spans.filter(({ name }) => name === 'job');
  expect(jobs.map(({ status }) => status)).toEqual([{ code: 0 }, { code: 2, message: 'not-read' }]);
  for (const { spanId, endTimeUnixNano } of jobs) {
    const parts = spans.filter(({ parentSpanId }) => parentSpanId === spanId);
    expect(parts.map(({ name }) => name)).toEqual(['take', 'audit', 'keep']);
    expect(endTimeUnixNano).toBe('1790000000306000000');
  }
});

test('a collector that refuses a worker is told of, and fails nothing', async () => {
  const collector = createServer((_, answer) => answer.writeHead(400).end()).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `http://127.0.0.1:${port}`);
  const reasons: string[] = [];
  const telemetry = await openTelemetry({
    ...{ ...WHO, traces: true },
    onUntraced: (reason) => reasons.push(reason),
  });
  for (const event of EVENTS) telemetry.onEvent(event);
  await telemetry.close();
  collector.close();
  collector.closeAllConnections();
  expect(reasons).toEqual(['Bad Request']);
});

/** Files of libraries that a process has loaded when it told of a worker as `options` say. */
function loaded(options: string): string[] {
  const entry = JSON.stringify(new URL('../../dist/telemetry/index.js', import.meta.url).href);
  const program = `const { openTelemetry } = await import(${entry});
    const telemetry = await openTelemetry({ hekiVersion: '1', worker: 'w', ${options} });
    await telemetry.close();
    const { default: { _cache } } = await import('node:module');
    console.log(Object.keys(_cache).join('\\n'));`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  const names = said.matchAll(/node_modules\/(pino|prom-client|@opentelemetry\/sdk-trace-base)\//g);
  return [...new Set([...names].map(([, name = '']) => name))];
}

test('a library is loaded where it is asked for, and not otherwise', () => {
  expect(loaded('traces: false')).toEqual([]);
  expect(loaded('log: () => {}, traces: true').sort()).toEqual(['@opentelemetry/sdk-trace-base', 'pino']);
});
