import type { CommandIo } from '../io.ts';
import { asksForJson, outputIsTaken } from './asked-format.ts';
import { type GuardedOutput, guardedOutput } from './guarded-output.ts';

/** The outputs of the process as a command gets them. */
export interface GuardedIo extends CommandIo {
  readonly stdout: GuardedOutput;
  readonly stderr: GuardedOutput;
}

/** `io` for the command line `args`: see {@link guardedOutput}. */
export function guardedIo(args: readonly string[], { stdout, stderr, env, interrupt }: CommandIo): GuardedIo {
  const format = asksForJson(args) ? 'json' : 'text';
  const [forStdout, forStderr] = outputIsTaken(args)
    ? (['text', format] as const)
    : ([format, 'text'] as const);
  return {
    stdout: guardedOutput(stdout, env, forStdout),
    stderr: guardedOutput(stderr, env, forStderr),
    env,
    interrupt,
  };
}
