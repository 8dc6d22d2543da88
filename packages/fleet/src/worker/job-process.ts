import { type ChildProcess, fork } from 'node:child_process';
import { type Failure, JobFailure } from './job-failure.ts';
import type { JobAnswer, JobReady } from './messages.ts';

/** How jobs are done. */
export interface JobProcessOptions {
  /** The program, which calls `serveJobs`. */
  readonly program: string;
  readonly args: readonly string[];
  /** MiB of the process as a whole. */
  readonly memoryLimit: number;
}

/** A process of its own for what may crash, hang, or take all memory. It is started again when it did. */
export interface JobProcess {
  /**
   * What the command line `args` gives.
   *
   * @param timeLimit seconds
   * @throws {JobFailure} when the process ended, or took too long
   */
  run(args: readonly string[], timeLimit: number): Promise<JobAnswer>;
  close(): void;
}

/** Characters of standard error in which the reason of an end is looked for: V8 writes pages when it runs out of memory. */
const KEPT = 16_384;
/** Seconds that a process may take to start: a machine may be busy. */
const START_LIMIT = 60;
/** Jobs that a process does before another takes its place: nothing that a job leaves behind grows for ever. */
const MOST_JOBS = 500;

/** MiB of each half of what V8 allocates into: by default 16, which is 20 MiB more of each process and no faster (Node 20). */
const YOUNG = 4;

export function createJobProcess({ program, args, memoryLimit }: JobProcessOptions): JobProcess {
  let child: ChildProcess | undefined;
  let errors = '';
  let jobs = 0;

  async function started(): Promise<ChildProcess> {
    if (child !== undefined && jobs < MOST_JOBS) return child;
    child?.kill('SIGKILL');
    errors = '';
    jobs = 0;
    child = fork(program, [...args], {
      // The heap is a part of the process: the guard in it counts all of it.
      execArgv: [`--max-old-space-size=${memoryLimit}`, `--max-semi-space-size=${YOUNG}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-KEPT);
    });
    await answerOf<JobReady>(child, START_LIMIT);
    return child;
  }

  /** The next message of `from`. */
  function answerOf<Message>(from: ChildProcess, seconds: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      const fail = (failure: Failure, why: string): void => {
        stop();
        if (child === from) child = undefined;
        from.kill('SIGKILL');
        reject(new JobFailure(failure, why));
      };
      const tooSlow = (): void => fail('too-slow', `took longer than ${seconds} seconds`);
      const timer = setTimeout(tooSlow, seconds * 1000);
      const hear = (message: unknown): void => {
        stop();
        resolve(message as Message);
      };
      // Closed, and not only ended: then all that it wrote is here.
      const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
        const tooBig = reasonOf(errors);
        if (tooBig !== undefined) fail('too-big', tooBig);
        else fail('crashed', signal === null ? `ended with code ${code}` : `was ended by ${signal}`);
      };
      const broken = (error: Error): void => fail('crashed', `cannot be started: ${error.message}`);
      const stop = (): void => {
        clearTimeout(timer);
        from.off('message', hear).off('close', ended).off('error', broken);
      };
      from.on('message', hear).on('close', ended).on('error', broken);
    });
  }

  return {
    async run(args, timeLimit) {
      const process = await started();
      jobs++;
      const answer = answerOf<JobAnswer>(process, timeLimit);
      // Where it has ended, `close` tells why.
      process.send({ args }, () => {});
      return await answer;
    },
    close() {
      child?.kill('SIGKILL');
      child = undefined;
    },
  };
}

/** What the guard of the process, or V8, wrote before the end. */
function reasonOf(errors: string): string | undefined {
  return (
    /^needs more memory than \d+ MiB$/m.exec(errors)?.[0] ??
    /^FATAL ERROR: .*$/m.exec(errors)?.[0]?.slice(0, 300)
  );
}
