import { type ErrorPlace, HekiError } from '@heki/physical-memory';

/** A scenario that is none: names the place in it and what was expected there. */
export class ScenarioError extends HekiError {
  override readonly name = 'ScenarioError';

  constructor(message: string, place: ErrorPlace = {}, cause?: unknown) {
    super(message, { kind: 'input', place, cause });
  }
}

/** A step is about what an earlier one did not get made; never leaves this package. */
export class UnmadeError extends Error {}

/** A place in a file as messages begin with it: `life.json:3:12`. */
export function placeText({ file = '', line, column }: ErrorPlace): string {
  return line === undefined ? file : `${file}:${line}:${column ?? 1}`;
}
