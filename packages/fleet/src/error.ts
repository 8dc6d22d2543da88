import { type ErrorFacts, HekiError } from '@heki/physical-memory';

/** What a fleet cannot do: a folder that another process has, a database that cannot be reached, a source that is not there. */
export class FleetError extends HekiError {
  override readonly name: string = 'FleetError';

  /** @param facts a file that they name is put before the message */
  constructor(message: string, facts: ErrorFacts = {}) {
    const file = facts.place?.file;
    super(file === undefined ? message : `${file}: ${message}`, { kind: 'input', ...facts });
  }
}

/** What the database, or the way to it, says. */
export class DatabaseError extends FleetError {
  override readonly name = 'DatabaseError';
  /** Of SQLSTATE, or of the operating system's errors; `undefined` where there is none. */
  readonly code: string | undefined;

  constructor(thrown: unknown) {
    const code = codeOf(thrown);
    // Of a name with several addresses, each of which failed, only the code is told.
    const message = (thrown instanceof Error && thrown.message) || code || String(thrown);
    super(`the database: ${message}`, { cause: thrown });
    this.code = code;
  }
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : undefined;
}
