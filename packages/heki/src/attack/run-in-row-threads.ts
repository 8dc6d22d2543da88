import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type AttackMachine, knowMachines, type LabAttack, type Matrix, type MatrixRow } from '@heki/attacks';
import { labBackend } from './lab-backend.ts';
import type { RowOfThread, RowThreadData } from './row-thread.ts';

/** A thread costs half a second before its first attempt. */
const FEWEST_ATTEMPTS = 200;

/** Threads that are worth it for so many attempts; 0: none beside this one. */
export function threadsFor(attempts: number, processors: number = availableParallelism()): number {
  return attempts < FEWEST_ATTEMPTS || processors < 2 ? 0 : processors;
}

/**
 * Runs attacks on machines as `runMatrix` does, a row at a time in each of some threads: the same comes of it.
 *
 * @param entry the code of a thread, which calls `runAsThread`
 * @param onRow is called when a row is done
 */
export async function runInRowThreads(
  entry: URL,
  threads: number,
  options: {
    readonly attacks: readonly LabAttack[];
    readonly machines: readonly AttackMachine[];
    readonly prove: boolean;
    readonly onRow: (attack: LabAttack) => void;
  },
): Promise<Matrix> {
  const { attacks, prove, onRow } = options;
  const machines = knowMachines(options.machines, { findBackend: labBackend });
  const workerData: RowThreadData = { machines, prove };
  const rows = new Map<LabAttack, MatrixRow>();
  // Races take longest: none of them is to be the last.
  const waiting = attacks.toSorted((one, other) => Number(isRace(other)) - Number(isRace(one)));
  const workers = Array.from({ length: threads }, () => new Worker(entry, { workerData }));
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            let attack: LabAttack | undefined;
            const next = (): void => {
              attack = waiting.shift();
              if (attack === undefined) resolve();
              else worker.postMessage(attack.name);
            };
            worker.on('message', (row: RowOfThread) => {
              if (attack === undefined) return;
              rows.set(attack, { attack, ...row });
              onRow(attack);
              next();
            });
            worker.on('error', reject);
            worker.on('exit', (code) => reject(new Error(`a thread ended with ${code}`)));
            next();
          }),
      ),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return {
    machines,
    rows: attacks.flatMap((attack) => rows.get(attack) ?? []),
  };
}

const isRace = ({ race }: LabAttack): boolean => race !== undefined;
