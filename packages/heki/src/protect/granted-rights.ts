import {
  type Attack,
  type CollectiveRights,
  type ComparedRange,
  claims,
  collectiveRights,
  compareRights,
  coversPage,
  type Machine,
  machineMemory,
  type RightsComparison,
} from '@heki/machine';
import {
  type FrameRange,
  type Gfn,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { KernelTables } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { walkMappings } from '@heki/x86';
import type { Subject } from './subject.ts';

/** What the pages of a kernel are mapped as, and what the hypervisor of a machine grants them. */
export interface GrantedRights {
  readonly tables: KernelTables;
  readonly mappings: CollectiveRights;
  readonly rights: RightsComparison;
  /** Frames below the end of memory that the kernel maps, and that are not memory of the machine. */
  readonly outside: readonly ComparedRange[];
}

/** Reads back what `machine` grants every page of the subject's memory. */
export function lookAtRights(subject: Subject, machine: Machine): GrantedRights {
  const { tables, memoryMap } = subject;
  const memory = machineMemory(memoryMap);
  const end = Math.max(...memory.map((range) => range.end)) as Gfn;
  const mappings = collectiveRights({ ...tables, budget: DUMP_LIMITS.tablePages }, end);
  const { virtualMachine, capabilities } = machine;
  const outside: ComparedRange[] = [];
  for (const hole of holes(memory, end)) {
    for (let frame: number = hole.start; frame < hole.end; ) {
      const next = mappings.next(frame, hole.end);
      const allowed = mappings.of(frame);
      if (allowed !== 0) outside.push({ start: frame as Gfn, end: next as Gfn, allowed, granted: 0 });
      frame = next;
    }
  }
  return {
    tables,
    mappings,
    rights: compareRights({ virtualMachine, capabilities, mappings, memory }),
    outside,
  };
}

/** What lies between ascending ranges, and before the first. */
function holes(ranges: readonly FrameRange<Gfn>[], end: Gfn): FrameRange<Gfn>[] {
  const starts = [0 as Gfn, ...ranges.map((range) => range.end)];
  const ends = [...ranges.map(({ start }) => start), end];
  return starts.flatMap((start, index) => {
    const until = ends[index] ?? end;
    return until > start ? [{ start, end: until }] : [];
  });
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
