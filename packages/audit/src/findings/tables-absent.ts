import { hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import type { FindingKind } from '../finding.ts';
import { occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
import { cpuRoots } from '../root-tables.ts';
import { walkUserHalves } from '../user-halves.ts';

export const TABLES_ABSENT: FindingKind = {
  id: 'heki/tables-absent',
  title: 'Page tables that were not looked at',
  worst: 'high',
  explanation:
    'Entries of the kernel, or of a program on whose address space a CPU stands, name page tables that are not in the dump; or there are more than are read: what they map was not looked at, and an audit that has not seen all mappings passes nothing.',
  attack:
    'An entry that leads to memory outside the dump (of a device, of a balloon, behind the end of a dump that was cut short) hides what is behind it; so do a gibibyte of page tables before it.',
  legitimate: 'A dump that was cut short, or filtered so that page tables are left out.',
  advice:
    "Dump the whole of the guest's memory again, and compare the frames that the entries name with its memory map.",
  *find(kernel) {
    if (kernel.absentTables > 0) {
      const summary = `${pagesText(kernel.absentTables)} of page tables ${kernel.absentTables === 1 ? 'is' : 'are'} not in the dump.`;
      yield occurrenceWithoutMemory('page tables', 'high', summary);
    }
    for (const { name, root } of cpuRoots(kernel).absent) {
      const summary = `CR3 leads ${name} to ${hex(root * PAGE_SIZE)}, which is not in the dump.`;
      yield occurrenceWithoutMemory('CR3', 'high', summary);
    }
    for (const { name, root, absentTables, stoppedAt } of walkUserHalves(kernel, () => {})) {
      const half = `user mode's half of ${name}, ${hex(root * PAGE_SIZE)}`;
      if (absentTables > 0) {
        const summary = `${pagesText(absentTables)} of page tables of ${half}, ${absentTables === 1 ? 'is' : 'are'} not in the dump.`;
        yield occurrenceWithoutMemory("user mode's half", 'high', summary);
      }
      if (stoppedAt !== undefined) {
        const summary = `More page tables than are read are in ${half}: what is mapped from ${hex(virtualAddressOf(stoppedAt))} on was not looked at.`;
        yield occurrenceWithoutMemory("user mode's half, too many page tables", 'high', summary);
      }
    }
  },
};
