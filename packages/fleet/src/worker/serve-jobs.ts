import { Worker } from 'node:worker_threads';
import type { JobAnswer, JobReady, JobRequest } from './messages.ts';

/**
 * Runs beside the job, which may never give way: ends the process when its worker has gone, or when it needs more memory than it may.
 * What it writes to standard error is the reason that the worker finds.
 */
const GUARD = `
const { workerData: { parent, mostBytes } } = require('node:worker_threads');
setInterval(() => {
  const { rss } = process.memoryUsage();
  if (rss > mostBytes) require('node:fs').writeSync(2, 'needs more memory than ' + Math.round(mostBytes / 2 ** 20) + ' MiB\\n');
  else if (process.ppid === parent) return;
  process.kill(process.pid, 'SIGKILL');
}, 100);
`;

/**
 * Does jobs for the worker that started this process, one after the other, until the worker ends it or is gone.
 *
 * @param run runs the command line `args`, and gives its exit code and what it printed
 * @throws {TypeError} when no worker started this process
 */
export async function serveJobs(
  run: (args: readonly string[]) => Promise<Pick<JobAnswer, 'exitCode' | 'report'>>,
  { memoryLimit }: { readonly memoryLimit: number },
): Promise<void> {
  if (process.send === undefined) throw new TypeError('only a worker of a fleet starts this');
  const guard = new Worker(GUARD, {
    eval: true,
    execArgv: [],
    workerData: { parent: process.ppid, mostBytes: memoryLimit * 2 ** 20 },
  });
  guard.unref();
  const answer = (message: JobAnswer | JobReady): boolean | undefined => process.send?.(message);
  process.on('message', async ({ args }: JobRequest) => {
    const begun = performance.now();
    const done = await run(args);
    answer({ ...done, milliseconds: performance.now() - begun });
  });
  // Ctrl-C in a terminal goes to all its processes: the worker says when this one ends.
  process.on('SIGINT', () => {});
  const gone = new Promise<void>((resolve) => process.once('disconnect', resolve));
  answer({ ready: true });
  await gone;
}
