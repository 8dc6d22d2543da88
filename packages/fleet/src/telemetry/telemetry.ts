import type { WorkEvent } from '../worker/work.ts';

/** What a worker tells of itself, and to whom. */
export interface TelemetryOptions {
  readonly hekiVersion: string;
  /** Which worker it is. */
  readonly worker: string;
  /** Takes lines of JSON. */
  readonly log?: ((line: string) => void) | undefined;
  /** Where Prometheus asks for metrics: `/metrics` there. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined;
  /** Sends a trace of each job to where the environment says: `OTEL_EXPORTER_OTLP_ENDPOINT`, and what else OpenTelemetry has there. */
  readonly traces?: boolean;
  /** Hears why traces could not be sent when a worker ends. What it did is done all the same. */
  readonly onUntraced?: (reason: string) => void;
}

/** Hears what a worker does. Nothing of a guest's memory goes on from here: of what guests choose, only how much there is of it. */
export interface Telemetry {
  onEvent(event: WorkEvent): void;
  /** Sends what is left. */
  close(): Promise<void>;
}
