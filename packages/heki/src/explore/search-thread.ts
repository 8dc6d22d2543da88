import { parentPort } from 'node:worker_threads';
import type { Expansion } from '@heki/explore';
import type { MachineFlags } from '../machine-flags.ts';
import { type Actor, exploredMachine } from './explored-machine.ts';

/** Which machine is searched: all that makes it. */
export interface Explored {
  readonly name: string;
  readonly flags: MachineFlags;
  readonly without: readonly Actor[];
}

/** What a thread that looks at states of a machine is given. */
export interface SearchThreadData {
  readonly explored: Explored;
  /** Ids of the properties that are looked for. */
  readonly properties: readonly string[];
}

/** Looks at what can happen after stories whenever some come, in their order, and answers with it. */
export async function runSearchAsThread({
  explored: { name, flags, without },
  properties,
}: SearchThreadData): Promise<void> {
  const machine = await exploredMachine(name, flags, without);
  const expander = machine.together?.expander(properties);
  parentPort?.on('message', (stories: readonly (readonly string[])[]) => {
    const expansions = expander?.expand(stories) as readonly Expansion[];
    parentPort?.postMessage(expansions);
  });
}
