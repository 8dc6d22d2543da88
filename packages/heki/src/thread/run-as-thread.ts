import { workerData } from 'node:worker_threads';
import type { RowThreadData } from '../attack/row-thread.ts';
import type { SearchThreadData } from '../explore/search-thread.ts';
import { inputComesWhenWanted } from '../input/standard-stream.ts';
import { type Output, OutputClosed } from '../io.ts';
import { watchModules } from '../modules/module-call.ts';
import { run } from '../run.ts';
import type { FromThread, OutputTraits, ThreadData, ToThread } from './messages.ts';

type Written = ToThread & { readonly type: 'written' };

/** Does what this thread was started for: a part of a command's work (`runInRowThreads`, `searchThreads`), or all of it. */
export async function runAsThread(): Promise<void> {
  const data: ThreadData | RowThreadData | SearchThreadData = workerData;
  if ('args' in data) return runCommandAsThread();
  if ('explored' in data) {
    const { runSearchAsThread } = await import('../explore/search-thread.ts');
    return runSearchAsThread(data);
  }
  const { runRowsAsThread } = await import('../attack/row-thread.ts');
  runRowsAsThread(data);
}

/** Runs the command that this thread was started for (`runInThread`), and says its exit code. */
async function runCommandAsThread(): Promise<void> {
  const { args, stdout, stderr, cells, port }: ThreadData = workerData;
  // Modules can read it, too, and are not to speak for the command.
  for (const name of Object.keys(workerData)) Reflect.deleteProperty(workerData, name);
  const say = (message: FromThread): void => port.postMessage(message);
  const waiting = new Map<number, (answer: Written) => void>();
  const interrupted = new AbortController();
  port.on('message', (message: ToThread) => {
    if (message.type === 'interrupted') interrupted.abort();
    else waiting.get(message.id)?.(message);
  });
  // Only what is not written yet keeps the thread: one that waits for what never comes ends.
  port.unref();
  let writes = 0;
  const output = (to: 'stdout' | 'stderr', traits: OutputTraits): Output => ({
    ...traits,
    write: (data) =>
      new Promise((resolve, reject) => {
        const id = writes++;
        port.ref();
        waiting.set(id, ({ failure }) => {
          waiting.delete(id);
          if (waiting.size === 0) port.unref();
          if (failure === undefined) resolve();
          else
            reject(
              failure === 'closed' ? new OutputClosed() : Object.assign(new Error(failure.message), failure),
            );
        });
        say({ type: 'write', id, to, data });
      }),
  });
  // The bar of progress is drawn on the process's own stream.
  Object.assign(process.stderr, { isTTY: stderr.isTerminal, columns: stderr.columns });
  inputComesWhenWanted(() => say({ type: 'wants-input' }));
  watchModules({ cells, onCall: (call) => say({ type: 'call', call }) });
  const exitCode = await run(args, {
    stdout: output('stdout', stdout),
    stderr: output('stderr', stderr),
    env: process.env,
    interrupt() {
      say({ type: 'interruptible' });
      return interrupted.signal;
    },
  });
  say({ type: 'done', exitCode });
}
