import {
  type Attack,
  type CollectiveRights,
  claims,
  collectiveRights,
  compareRights,
  coversPage,
  type KernelTables,
  type Machine,
  machineMemory,
  type RightsComparison,
} from '@heki/machine';
import { type VirtualAddress, type VirtualFrame, virtualFrameOf } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import { MOST_TABLES } from '../snapshot.ts';
import type { Subject } from './subject.ts';

/** What the pages of a kernel are mapped as, and what the hypervisor of a machine grants them. */
export interface GrantedRights {
  readonly tables: KernelTables;
  readonly mappings: CollectiveRights;
  readonly rights: RightsComparison;
}

/** Reads back what `machine` grants every page of the subject's memory. */
export function lookAtRights(subject: Subject, machine: Machine): GrantedRights {
  const { core, kernelRoot, levels, memoryMap } = subject;
  const tables = { memory: core.memory, root: kernelRoot, levels };
  const memory = machineMemory(memoryMap);
  const mappings = collectiveRights(
    { ...tables, budget: MOST_TABLES },
    Math.max(...memory.map(({ end }) => end)),
  );
  const { virtualMachine, capabilities } = machine;
  return { tables, mappings, rights: compareRights({ virtualMachine, capabilities, mappings, memory }) };
}

/** Whether `machine`, with Heki in force, claims to stop `attack` on the page at `target`. */
export function isClaimed(
  { claim }: Attack,
  machine: Machine,
  { tables, mappings }: Pick<GrantedRights, 'tables' | 'mappings'>,
  target: VirtualAddress | undefined,
): boolean {
  if (claim === undefined || !claims(claim, machine)) return false;
  if (target === undefined) return true;
  const page = virtualFrameOf(target);
  let covered = true;
  walkMappings(tables, page, (page + 1) as VirtualFrame, ({ guestFrame, virtualFrame }) => {
    covered = coversPage(claim, mappings.of(guestFrame + (page - virtualFrame)));
  });
  return covered;
}
