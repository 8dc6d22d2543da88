import type { Readable } from 'node:stream';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { InputError, thrownText } from '../failure.ts';
import { type CommandIo, OutputClosed } from '../io.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { placeIn } from '../modules/import-module.ts';
import { Cell, type ModuleCall } from '../modules/module-call.ts';
import { reportFailure } from '../report/failure-report.ts';
import { guardedIo } from '../report/guarded-io.ts';
import type { FromThread, OutputTraits, ThreadData, ToThread } from './messages.ts';
import { watchOver } from './watch-over.ts';

/** The exit code of Node where a top-level await is left. */
const NEVER_SETTLED = 13;

/**
 * Runs the command line `args` in a thread of its own, and gives its exit code. Modules of the user's run there: one that never hands
 * back, ends the thread, or needs more memory than there is, is told as a file that cannot be used.
 *
 * @param entry the code of the thread, which calls `runAsThread`
 * @param patience milliseconds that code of a module may take
 */
export async function runInThread(
  entry: URL,
  args: readonly string[],
  io: CommandIo,
  patience: number = COMMAND_LIMITS.moduleSilence,
): Promise<number> {
  const cells = new Int32Array(
    new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * Object.keys(Cell).length),
  );
  const { port1: own, port2: port } = new MessageChannel();
  const [stdout, stderr] = [traitsOf(io.stdout), traitsOf(io.stderr)];
  const workerData: ThreadData = { args, stdout, stderr, cells, port };
  const streams = { stdin: true, stdout: true, stderr: true };
  const worker = new Worker(entry, { workerData, transferList: [port], ...streams });
  const guarded = guardedIo(args, io);
  // What a module prints is not the command's output.
  for (const printed of [worker.stdout, worker.stderr]) {
    printed.setEncoding('utf8').on('data', (text) => void guarded.stderr.write(text).catch(() => {}));
  }
  const calls: ModuleCall[] = [];
  const tell = (message: ToThread): void => own.postMessage(message);
  let begun = false;
  let input: Readable | undefined;

  const ended = new Promise<number | InputError>((resolve) => {
    const hear = (message: FromThread): void => {
      if (message.type === 'done') resolve(message.exitCode);
      else if (message.type === 'call') calls.push(message.call);
      else if (message.type === 'wants-input') input = handOn(process.stdin, worker);
      else if (message.type === 'interruptible') {
        io.interrupt?.().addEventListener('abort', () => tell({ type: 'interrupted' }));
      } else {
        const { id, to, data } = message;
        if (to === 'stdout') begun ||= data.length > 0;
        io[to].write(data).then(
          () => tell({ type: 'written', id, failure: undefined }),
          (error) => tell({ type: 'written', id, failure: failureOfWrite(error) }),
        );
      }
    };
    own.on('message', hear);
    /** What the thread said before it ended may come after the news that it has. */
    const hearRest = (): void => {
      for (let rest = receiveMessageOnPort(own); rest !== undefined; rest = receiveMessageOnPort(own)) {
        hear(rest.message);
      }
    };
    const lastCall = (): ModuleCall | undefined => calls[Atomics.load(cells, Cell.LAST) - 1];
    worker.on('error', (error) => {
      hearRest();
      resolve(uncaught(error, calls, lastCall()?.file));
    });
    worker.on('exit', (code) => {
      hearRest();
      // It has told that it could not even begin.
      if (calls.length === 0) return resolve(code);
      const what = code === NEVER_SETTLED ? 'waits for what never comes' : 'ended the command';
      resolve(new InputError(`${what}: expected that its code hands back`, { file: lastCall()?.file }));
    });
    // Whoever looks for a mistake may stop the thread in a debugger.
    if (io.env.HEKI_DEBUG) return;
    const stop = watchOver(worker, cells, patience, () => {
      const { file, what } = lastCall() ?? {};
      const code = Atomics.load(cells, Cell.RUNNING) === 0 ? 'an exit of its virtual CPUs' : what;
      resolve(new InputError(`${code} goes on for ${patience / 1000} seconds: expected its end`, { file }));
    });
    worker.once('exit', stop);
  });

  const outcome = await ended;
  input?.destroy();
  await worker.terminate();
  own.close();
  if (typeof outcome === 'number') return outcome;
  return reportFailure(outcome, args, { ...guarded, stdout: { ...guarded.stdout, begun } });
}

function traitsOf({ isTerminal, columns }: CommandIo['stdout']): OutputTraits {
  return { isTerminal, columns };
}

function handOn(input: Readable, { stdin }: Worker): Readable {
  if (stdin !== null) input.pipe(stdin);
  return input;
}

/** What is left of an error between threads. */
function failureOfWrite(error: unknown): (ToThread & { readonly type: 'written' })['failure'] {
  if (error instanceof OutputClosed) return 'closed';
  return error instanceof Error ? { ...error, message: error.message } : { message: String(error) };
}

/** What no call of a module threw: a timer of it, or a promise. @param last the module that ran last */
function uncaught(error: unknown, calls: readonly ModuleCall[], last: string | undefined): InputError {
  const isFull = error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
  const what = isFull ? 'needs more memory than there is' : `threw ${thrownText(error)}`;
  for (const { file } of calls) {
    const place = placeIn(file, error);
    if (place.line !== undefined) return new InputError(what, { file, ...place }, error);
  }
  return new InputError(what, { file: last }, error);
}
