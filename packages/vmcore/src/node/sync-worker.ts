import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { VmcoreError } from '../error.ts';

/** A worker thread whose messages are waited for: memory is read synchronously. */
export interface SyncWorker<Told> {
  post(message: unknown): void;
  /**
   * Its next message.
   *
   * @param deadline by when all that belongs to it must have come, as of `performance.now()`: one who sends byte by byte is never silent
   * @throws {VmcoreError} when none comes in time
   */
  next(deadline: number): Told;
}

/** In front of each program: `port`, what it was started with as `input`, and `tell`, which sends a message and wakes whoever waits for it. */
const PRELUDE = `
const { port, count, input } = require('node:worker_threads').workerData;
const tell = (message, transfer) => { port.postMessage(message, transfer); Atomics.add(count, 0, 1); Atomics.notify(count, 0); };
`;

/**
 * Starts `program`, in CommonJS, in a worker thread. It is text, so that it needs no file of its own, and it closes `port` when it is told to end.
 *
 * @param name of whom it speaks with, for errors
 * @param silence milliseconds that may pass without a message
 */
export function startSyncWorker<Told>(
  program: string,
  input: unknown,
  name: string,
  silence: number,
): SyncWorker<Told> {
  // The thread sleeps in Atomics.wait until the worker has counted one more message.
  const count = new Int32Array(new SharedArrayBuffer(4));
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(PRELUDE + program, {
    eval: true,
    // Options of this process, as --input-type=module, are not for the worker.
    execArgv: [],
    workerData: { port: port2, count, input },
    transferList: [port2],
  });
  worker.unref();
  return {
    post: (message) => port1.postMessage(message),
    next(deadline) {
      for (;;) {
        const left = deadline - performance.now();
        if (left <= 0) throw new VmcoreError(`${name}: an answer did not end in time`, { unread: true });
        const seen = Atomics.load(count, 0);
        const received: { readonly message: Told } | undefined = receiveMessageOnPort(port1);
        if (received !== undefined) return received.message;
        if (Atomics.wait(count, 0, seen, Math.min(silence, left)) === 'timed-out' && silence < left) {
          throw new VmcoreError(`${name}: nothing came for ${silence / 1000} seconds`, { unread: true });
        }
      }
    },
  };
}
