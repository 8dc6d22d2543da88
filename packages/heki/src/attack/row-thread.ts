import { parentPort } from 'node:worker_threads';
import { CATALOGUE, type Cell, type KnownMachine, runRow } from '@heki/attacks';
import { labBackend } from './lab-backend.ts';

/** What a thread that runs rows of the matrix is given. */
export interface RowThreadData {
  readonly machines: readonly KnownMachine[];
  readonly prove: boolean;
}

/** What it answers, of a row, to the name of an attack. */
export interface RowOfThread {
  readonly claimedBy: readonly string[];
  readonly cells: ReadonlyMap<string, Cell>;
}

/** Runs an attack on every machine whenever its name comes, and answers with what came of it. */
export function runRowsAsThread({ machines, prove }: RowThreadData): void {
  parentPort?.on('message', (name: string) => {
    const attack = CATALOGUE.find((one) => one.name === name);
    if (attack === undefined) throw new TypeError(`there is no attack ${name}`);
    const { claimedBy, cells } = runRow(attack, machines, { findBackend: labBackend, prove });
    const row: RowOfThread = { claimedBy, cells };
    parentPort?.postMessage(row);
  });
}
