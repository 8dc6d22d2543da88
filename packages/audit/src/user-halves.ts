import type { VirtualFrame } from '@heki/physical-memory';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { lowerHalfEnd, walkMappings } from '@heki/x86';
import type { AuditedKernel } from './audited-kernel.ts';
import type { Mapping } from './mapping.ts';
import { rightsOf } from './rights.ts';
import { cpuRoots, type OtherRoot } from './root-tables.ts';

/** What was not looked at of an address space's user half. */
interface UnseenPart extends OtherRoot {
  /** Tables that the dump lacks. */
  readonly absentTables: number;
  /** From here on there are more page tables than are read. */
  readonly stoppedAt: VirtualFrame | undefined;
}

/** Visits what the address spaces that CPUs stand on, and the kernel's own, map in user mode's half. @returns of which not all was seen */
export function walkUserHalves(kernel: AuditedKernel, visit: (mapping: Mapping) => void): UnseenPart[] {
  const { tables } = kernel;
  const roots: readonly OtherRoot[] = [
    { root: tables.root, name: "the kernel's root" },
    ...cpuRoots(kernel).own,
  ];
  return roots.flatMap((other) => {
    const space = { ...tables, root: other.root, budget: DUMP_LIMITS.tablePages };
    const { stoppedAt, absentTables } = walkMappings(
      space,
      0 as VirtualFrame,
      lowerHalfEnd(space.levels),
      (leaf) => visit({ ...leaf, rights: rightsOf(leaf.effective), region: "user mode's half" }),
    );
    return stoppedAt === undefined && absentTables === 0 ? [] : [{ ...other, stoppedAt, absentTables }];
  });
}
