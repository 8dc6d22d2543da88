import { type ErrorPlace, HekiError } from '@heki/physical-memory';

/** Not a scenario: names the place in it and what was expected there. */
export class ScenarioError extends HekiError {
  override readonly name = 'ScenarioError';

  constructor(message: string, place: ErrorPlace = {}, cause?: unknown) {
    super(message, { kind: 'input', place, cause });
  }
}

/** A step is about something that an earlier one could not make; never leaves this package. */
export class FailedDependencyError extends Error {}

/** A place in a file as messages begin with it: `life.json:3:12`. */
export function placeText({ file = '', line, column }: ErrorPlace): string {
  return line === undefined ? file : `${file}:${line}:${column ?? 1}`;
}
