import { type ErrorFacts, HekiError } from '@heki/physical-memory';

/** What a fleet cannot do: a folder that another process has, a database that cannot be reached, a source that is not there. */
export class FleetError extends HekiError {
  override readonly name = 'FleetError';

  /** @param facts a file that they name is put before the message */
  constructor(message: string, facts: ErrorFacts = {}) {
    const file = facts.place?.file;
    super(file === undefined ? message : `${file}: ${message}`, { kind: 'input', ...facts });
  }
}
