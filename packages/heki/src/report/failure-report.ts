import { CommanderError } from 'commander';
import { ExitCode, exitCodeOfFailure, type Failure, failureOf } from '../failure.ts';
import type { CommandIo, Output } from '../io.ts';
import { moduleFault } from '../modules/import-module.ts';
import type { GuardedOutput } from './guarded-output.ts';
import { reportHeader } from './report-header.ts';
import { shortenedMessage, shortenedPlace } from './shortened.ts';

/** Whether `args` ask for JSON: then an error is JSON, too, even of a command line that is not understood. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const options = end === -1 ? args : args.slice(0, end);
  return options.some(
    (option, index) =>
      option === '--json' ||
      option === '--format=json' ||
      (option === 'json' && options[index - 1] === '--format'),
  );
}

/** Whether `args` want the bytes of a core on standard output: what is to be told then goes to standard error. */
export function outputIsTaken(args: readonly string[]): boolean {
  return args.some(
    (option, index) =>
      ['-o-', '--output=-'].includes(option) ||
      (option === '-' && ['-o', '--output'].includes(args[index - 1] ?? '')),
  );
}

/**
 * Tells of what was thrown: people a paragraph on standard error, programs a JSON object on standard output, unless another has begun
 * there. Gives the exit code.
 *
 * @param hint what people are told beside it
 */
export async function reportFailure(
  error: unknown,
  args: readonly string[],
  io: CommandIo & { readonly stdout: GuardedOutput },
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
    const json = { ...reportHeader('error'), error: failure };
    await told(toStderr ? io.stderr : io.stdout, `${JSON.stringify(json, undefined, 2)}\n`);
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
function shortenedFailure({ kind, message, place }: Failure): Failure {
  const entries = Object.entries(place).map(([key, value]) => [key, shortenedPlace(value)]);
  return { kind, message: shortenedMessage(message), place: Object.fromEntries(entries) };
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
