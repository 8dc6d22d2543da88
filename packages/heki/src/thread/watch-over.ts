import type { Worker } from 'node:worker_threads';
import { Cell } from '../modules/module-call.ts';

/** How often the thread is looked at within the time that a module may take. Looks are counted: a process that was stopped loses none. */
const LOOKS = 20;

/**
 * Calls `isStuck` when code of a module has run in `worker` for `patience` milliseconds without a call or a return: a call that is seen,
 * or work without a pause once a machine of a module's backend is there, whose exits are not seen. Gives what ends the watch.
 */
export function watchOver(
  worker: Worker,
  cells: Int32Array,
  patience: number,
  isStuck: () => void,
): () => void {
  let turns = -1;
  let idle = -1;
  let same = 0;
  const timer = setInterval(() => {
    const now = Atomics.load(cells, Cell.TURNS);
    const rested = worker.performance.eventLoopUtilization().idle;
    const runs =
      Atomics.load(cells, Cell.RUNNING) !== 0 || (Atomics.load(cells, Cell.MACHINES) > 0 && rested === idle);
    same = runs && now === turns ? same + 1 : 0;
    turns = now;
    idle = rested;
    if (same < LOOKS) return;
    clearInterval(timer);
    isStuck();
  }, patience / LOOKS);
  return () => clearInterval(timer);
}
