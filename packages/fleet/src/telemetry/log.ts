import { pino, stdTimeFunctions } from 'pino';
import type { Telemetry, TelemetryOptions } from './telemetry.ts';

/** What is not plain ASCII: a log goes to terminals, too, and names of files may have anything. */
const NOT_PLAIN = /[^\n\x20-\x7e]/g;

/** A log in lines of JSON: what was done and when, and neither what is in guests nor who may open them. */
export function createLog(
  write: (line: string) => void,
  { worker, hekiVersion }: Pick<TelemetryOptions, 'worker' | 'hekiVersion'>,
): Telemetry {
  const log = pino(
    {
      base: { worker },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write: (line) => write(line.replace(NOT_PLAIN, escaped)) },
  );
  log.info({ event: 'begun', heki: hekiVersion });
  return {
    onEvent(event) {
      if (event.event === 'waiting') {
        log.warn({ event: event.event, reason: event.reason });
        return;
      }
      const { job, timing } = event;
      const about = {
        ...{ event: event.event, job: job.id, source: job.item.source.uri, attempt: job.attempt },
        ...{ takingMs: Math.round(timing.taking), auditingMs: Math.round(timing.auditing) },
        keepingMs: Math.round(timing.keeping),
      };
      // What an error says may quote what was read: `heki fleet set-aside` has it.
      if (event.event === 'failed') log.error({ ...about, failure: event.failure });
      else log.info({ ...about, outcome: event.result.outcome, findings: event.result.findings.length });
    },
    close() {
      log.info({ event: 'ended' });
      return Promise.resolve();
    },
  };
}

/** Within a string of JSON, which is where such characters stand. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
