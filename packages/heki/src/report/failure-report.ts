import { CommanderError } from 'commander';
import { ExitCode, exitCodeOfFailure, type Failure } from '../failure.ts';
import { failureOf } from '../file-error.ts';
import { type Output, OutputClosed } from '../io.ts';
import { moduleFault } from '../modules/import-module.ts';
import { asksForJson, outputIsTaken } from './asked-format.ts';
import type { GuardedIo } from './guarded-io.ts';
import { reportHeader } from './report-header.ts';
import { shortenedMessage, shortenedPlace } from './shortened.ts';

/**
 * Tells of what was thrown: people a paragraph on standard error, programs a JSON object on standard output, unless another has begun
 * there. Gives the exit code.
 *
 * @param hint what people are told beside it
 */
export async function reportFailure(
  error: unknown,
  args: readonly string[],
  io: GuardedIo,
  hint: string = '',
): Promise<number> {
  const failure = shortenedFailure(failureFrom(error));
  const told = (output: Output, text: string): Promise<void> =>
    // Where even this cannot be written, there is no way left to report it.
    output.write(text).catch(() => {});
  const toStderr = outputIsTaken(args);
  const isJson = asksForJson(args) && (toStderr || !io.stdout.begun);
  if (io.env.HEKI_DEBUG && error instanceof Error && error.stack !== undefined) {
    await told(io.stderr, `${error.stack}\n`);
  } else if (!isJson) {
    await told(io.stderr, `heki: ${failure.message.replaceAll('\n', '\n  ')}\n${hint}`);
  }
  if (isJson) {
    const json = `${JSON.stringify({ ...reportHeader('error'), error: failure }, undefined, 2)}\n`;
    if (toStderr) await told(io.stderr, json);
    // A reader that went away wants to hear no more; a full disk keeps the error from whoever looks for it there.
    else
      await io.stdout
        .write(json)
        .catch((why) => (why instanceof OutputClosed ? undefined : told(io.stderr, json)));
  }
  return error instanceof CommanderError ? ExitCode.USAGE : exitCodeOfFailure(failure);
}

function failureFrom(error: unknown): Failure {
  if (error instanceof CommanderError) return usageFailure(error);
  const failure = failureOf(error);
  const fault = failure.kind === 'internal' ? moduleFault(error) : undefined;
  return fault === undefined ? failure : failureOf(fault);
}

/** No foreign value as long as its writer liked: a name of 100,000 characters says no more than its ends do. */
function shortenedFailure({ message, place, ...rest }: Failure): Failure {
  const entries = Object.entries(place).map(([key, value]) => [key, shortenedPlace(value)]);
  return { ...rest, message: shortenedMessage(message), place: Object.fromEntries(entries) };
}

/** What commander says of a wrong command line. */
function usageFailure({ message }: CommanderError): Failure {
  const option = /'(-{1,2}\w[\w-]*)/.exec(message)?.[1];
  return {
    kind: 'usage',
    message: message.replace(/^error: /, ''),
    place: { option },
  };
}
