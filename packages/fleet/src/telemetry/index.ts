export { openTelemetry } from './open-telemetry.ts';
export type { Telemetry, TelemetryOptions } from './telemetry.ts';
