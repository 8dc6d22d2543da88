/**
 * Why a job came to nothing, in a word:
 *
 * - `crashed`, `too-slow`, `too-big`: its process ended, needed more time, or more memory, than it may have
 * - `not-read`: what it is about could not be reached, or not be read to its end, or another file than the dump is damaged
 * - `no-report`: it printed none
 */
export const FAILURES = ['crashed', 'too-slow', 'too-big', 'not-read', 'no-report'] as const;
export type Failure = (typeof FAILURES)[number];

/** Why a job came to nothing. */
export class JobFailure extends Error {
  override readonly name = 'JobFailure';
  readonly failure: Failure;

  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}
