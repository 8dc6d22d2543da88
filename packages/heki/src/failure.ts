import { type ErrorKind, type ErrorPlace, HekiError } from '@heki/physical-memory';
import { printable } from './printable.ts';

/** The command was called wrongly. A message that is about an option begins with it. */
export class UsageError extends HekiError {
  override readonly name = 'UsageError';

  constructor(message: string) {
    super(message, { kind: 'usage', place: { option: /^-{1,2}\w[\w-]*/.exec(message)?.[0] } });
  }
}

/** The machine that was asked for cannot be: exit code 2. */
export class SpecificationError extends UsageError {
  /** The property of its specification that is wrong: `defects`, `B-H99`. */
  readonly at: readonly string[];

  constructor(message: string, at: readonly string[]) {
    super(message);
    this.at = at;
  }
}

/** A file, or what it holds, cannot be read as what it was taken for. */
export class InputError extends HekiError {
  override readonly name = 'InputError';

  /** @param place the file in it, with line and column where there are such, is put before the message */
  constructor(message: string, place: ErrorPlace = {}, cause?: unknown) {
    super(`${placeText(place)}${message}`, { kind: 'input', place, cause });
  }
}

/** What was made cannot be written. */
export class OutputError extends HekiError {
  override readonly name = 'OutputError';

  constructor(message: string, place: ErrorPlace = {}, cause?: unknown) {
    super(`${placeText(place)}${message}`, { kind: 'output', place, cause });
  }
}

/** `guest.json:3:7: `. */
function placeText({ file, line, column }: ErrorPlace): string {
  if (file === undefined) return '';
  // An empty name would not be seen.
  const name = file === '' ? '""' : file;
  return line === undefined ? `${name}: ` : `${name}:${line}:${column ?? 1}: `;
}

/** What a program learns from the exit code, of every command. */
export const ExitCode = {
  SUCCESS: 0,
  /** A finding, a refusal, or a failed attempt. */
  FAILURE: 1,
  /** The command was called wrongly. */
  USAGE: 2,
  /** A file cannot be read: it is missing, damaged, or something else. */
  INPUT: 3,
} as const;

/** What went wrong, as it is told to people and to programs. */
export interface Failure {
  /** `internal`: a mistake of the program. */
  readonly kind: Exclude<ErrorKind, 'misuse'> | 'internal';
  readonly message: string;
  readonly place: ErrorPlace;
  /** What was to be read could not be reached, or not be read to its end: nothing is said of what it holds. */
  readonly unread?: true;
}

const EXIT_CODES: Readonly<Record<Failure['kind'], number>> = {
  usage: ExitCode.USAGE,
  input: ExitCode.INPUT,
  impossible: ExitCode.FAILURE,
  output: ExitCode.FAILURE,
  internal: ExitCode.FAILURE,
};

/** The exit code that goes with a failure. */
export function exitCodeOfFailure({ kind }: Failure): number {
  return EXIT_CODES[kind];
}

/** What to tell of an error of the packages that is not their misuse; `undefined` for anything else. */
export function failureOfHeki(error: unknown): Failure | undefined {
  // A module of the user's can throw what only looks like one.
  if (error instanceof HekiError && error.kind !== 'misuse' && Object.hasOwn(EXIT_CODES, error.kind)) {
    const { kind, message, place, unread } = error;
    // An error of another copy of the packages may have a kind that this one does not know, and no such mark.
    return { kind, message, place, ...(kind === 'input' && unread && { unread }) };
  }
  return undefined;
}

/** What to tell of a mistake of the program. */
export function internalFailure(error: unknown): Failure {
  const message = `internal error: ${thrownText(error)} (please report it with the output of HEKI_DEBUG=1)`;
  return { kind: 'internal', message, place: {} };
}

/** What somebody else's code throws can be of any length. */
const LONGEST = 500;

/** What was thrown, whatever it is: one paragraph that a terminal can show. */
export function thrownText(thrown: unknown): string {
  let text: string;
  try {
    text =
      thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : `${typeof thrown} ${String(thrown)}`;
  } catch {
    text = 'something that cannot be printed';
  }
  return printable(text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text);
}
