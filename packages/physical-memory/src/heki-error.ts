/**
 * What is wrong, for programs that do not read English:
 *
 * - `misuse`: the TypeScript caller asked for what the documentation of a function excludes
 * - `usage`: the command was called wrongly
 * - `input`: a file, or what it holds, cannot be read as what it was taken for
 * - `impossible`: what was described is understood, and cannot be made: no room for the kernel, no such processor
 * - `output`: what was made cannot be written
 */
export type ErrorKind = 'misuse' | 'usage' | 'input' | 'impossible' | 'output';

/** Where it is wrong, as far as there is a place. */
export interface ErrorPlace {
  /** Path of a file, as the user wrote it. */
  readonly file?: string | undefined;
  /** In a text, from 1. */
  readonly line?: number | undefined;
  /** In its line, from 1. */
  readonly column?: number | undefined;
  /** In bytes from the start of a file, inflated if it was packed. */
  readonly offset?: number | undefined;
  /** A step of a scenario: its list and its index there from 0, as `steps.3`. */
  readonly step?: string | undefined;
  /** Of the command line, with its dashes. */
  readonly option?: string | undefined;
}

/** What is told of an error beside its message. */
export interface ErrorFacts {
  readonly kind?: ErrorKind;
  readonly place?: ErrorPlace;
  readonly cause?: unknown;
  /** See {@link HekiError.unread}. */
  readonly unread?: boolean | undefined;
}

/** The base of every error that a package of heki throws. The message names the value, its place and what was expected. */
export class HekiError extends Error {
  override readonly name: string = 'HekiError';
  readonly kind: ErrorKind;
  readonly place: ErrorPlace;
  /**
   * What was to be read could not be reached, or not be read to its end: a network, a disk, a right, room for what is unpacked. So it says
   * nothing of what is there. True, too, where such an error, or one of the operating system, is the cause.
   */
  readonly unread: boolean;

  constructor(
    message: string,
    { kind = 'misuse', place = {}, cause, unread = isUnread(cause) }: ErrorFacts = {},
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.kind = kind;
    this.place = place;
    this.unread = unread;
  }

  /**
   * Tells errors by the names of their classes: a backend or an attack of somebody's own brings its copy of the packages along, whose
   * errors are others to JavaScript.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    const classes = value instanceof Error ? classNames(value) : [];
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked for, which inherits this
    return classes.includes(this.name) && classes.includes('HekiError');
  }
}

/** Names of the classes of `value`, its own first. */
function classNames(value: object): string[] {
  const names: string[] = [];
  for (let type = Object.getPrototypeOf(value); type !== null; type = Object.getPrototypeOf(type)) {
    names.push(String(type.constructor?.name));
  }
  return names;
}

/** Whether something was thrown because reading failed, and not for what was read. Only the operating system's errors name a call of it. */
function isUnread(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  return 'unread' in thrown ? thrown.unread === true : 'syscall' in thrown;
}
