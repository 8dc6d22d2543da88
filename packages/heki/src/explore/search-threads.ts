import { Worker } from 'node:worker_threads';
import type { Expander, Expansion } from '@heki/explore';
import type { SearchThreadData } from './search-thread.ts';

/** A thread that looks at states. */
export interface SearchThread extends Expander {
  end(): Promise<number>;
}

/**
 * Starts `count` threads that look at states of one machine.
 *
 * @param entry the code of a thread, which calls `runAsThread`
 */
export function searchThreads(entry: URL, count: number, workerData: SearchThreadData): SearchThread[] {
  return Array.from({ length: count }, () => {
    const worker = new Worker(entry, { workerData });
    const waiting: { resolve(expansions: readonly Expansion[]): void; reject(error: unknown): void }[] = [];
    let failure: Error | undefined;
    const fail = (error: Error): void => {
      failure ??= error;
      for (const { reject } of waiting.splice(0)) reject(failure);
    };
    worker.on('message', (expansions: readonly Expansion[]) => waiting.shift()?.resolve(expansions));
    worker.on('error', fail);
    worker.on('exit', (code) => fail(new Error(`a thread ended with ${code}`)));
    return {
      expand: (stories) =>
        new Promise((resolve, reject) => {
          if (failure !== undefined) return reject(failure);
          waiting.push({ resolve, reject });
          worker.postMessage(stories);
        }),
      end: () => worker.terminate(),
    };
  });
}
