import { type Attributes, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Telemetry, TelemetryOptions } from './telemetry.ts';

/** A trace of each job: to take it, to audit, and to keep the result. Where it goes, and with which headers, OpenTelemetry reads from the environment. */
export function createTraces({
  worker,
  hekiVersion,
  onUntraced,
}: Pick<TelemetryOptions, 'worker' | 'hekiVersion' | 'onUntraced'>): Telemetry {
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': process.env.OTEL_SERVICE_NAME ?? 'heki-fleet',
      'service.version': hekiVersion,
      'service.instance.id': worker,
    }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer('heki', hekiVersion);
  return {
    onEvent(event) {
      if (event.event === 'waiting') return;
      const { job, timing } = event;
      const attributes: Attributes = {
        'heki.job': job.id,
        'heki.source': job.item.source.uri,
        'heki.attempt': job.attempt,
        ...(event.event === 'done'
          ? { 'heki.outcome': event.result.outcome, 'heki.findings': event.result.findings.length }
          : { 'heki.failure': event.failure }),
      };
      let at = timing.begun;
      const span = tracer.startSpan('job', { startTime: at, attributes }, ROOT_CONTEXT);
      if (event.event === 'failed') span.setStatus({ code: SpanStatusCode.ERROR, message: event.failure });
      const within = trace.setSpan(ROOT_CONTEXT, span);
      for (const [name, took] of [
        ['take', timing.taking],
        ['audit', timing.auditing],
        ['keep', timing.keeping],
      ] as const) {
        const part = tracer.startSpan(name, { startTime: at }, within);
        at += took;
        part.end(at);
      }
      span.end(at);
    },
    // A collector that is away, or never answers, fails nothing: the results are kept.
    close: () =>
      provider.shutdown().catch((error: unknown) => {
        onUntraced?.(error instanceof Error ? error.message : String(error));
      }),
  };
}
