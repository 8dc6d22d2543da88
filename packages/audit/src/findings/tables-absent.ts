import { hex, PAGE_SIZE } from '@heki/physical-memory';
import type { FindingKind } from '../finding.ts';
import { occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
import { cpuRoots } from '../root-tables.ts';

export const TABLES_ABSENT: FindingKind = {
  id: 'heki/tables-absent',
  title: 'Page tables that the dump lacks',
  worst: 'high',
  explanation:
    'Entries of the kernel name page tables that are not in the dump: what they map was not looked at, and an audit that has not seen all mappings passes nothing.',
  attack:
    'An entry that leads to memory outside the dump (of a device, of a balloon, behind the end of a dump that was cut short) hides what is behind it.',
  legitimate: 'A dump that was cut short, or filtered so that page tables are left out.',
  advice:
    "Dump the whole of the guest's memory again, and compare the frames that the entries name with its memory map.",
  *find(kernel) {
    const { absentTables } = kernel;
    if (absentTables > 0) {
      const summary = `${pagesText(absentTables)} of page tables ${absentTables === 1 ? 'is' : 'are'} not in the dump.`;
      yield occurrenceWithoutMemory('page tables', 'high', summary);
    }
    for (const { name, root } of cpuRoots(kernel).absent) {
      const summary = `CR3 leads ${name} to ${hex(root * PAGE_SIZE)}, which is not in the dump.`;
      yield occurrenceWithoutMemory('CR3', 'high', summary);
    }
  },
};
