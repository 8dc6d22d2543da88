import type { FindingKind, Severity } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { isVsyscallPage } from '../within.ts';

export const USER_ACCESSIBLE: FindingKind = {
  id: 'heki/user-accessible',
  title: "User mode may access the kernel's half",
  worst: 'critical',
  explanation: "U/S is set in every entry on the way to a page in the kernel's half: programs can access it.",
  attack: 'Any program reads, and where it is writable changes, what lies there, without a system call.',
  legitimate: 'The vsyscall page (vsyscall=emulate), readable for old programs.',
  advice:
    'Find who set U/S in the upper levels: Linux sets it there and clears it in the leaf. Boot with vsyscall=none if no program needs it.',
  *find(kernel) {
    const open = kernel.mappings.filter(({ rights }) => (rights & Rights.USER) !== 0);
    const isVsyscall = (mapping: Mapping): boolean =>
      isVsyscallPage(kernel, mapping) && (mapping.rights & Rights.WRITE) === 0;
    for (const [mappings, severity, what] of [
      [open.filter(isVsyscall), 'info', 'the vsyscall page'],
      [open.filter((one) => !isVsyscall(one)), 'critical', "the kernel's half"],
    ] as const satisfies readonly (readonly [Mapping[], Severity, string])[]) {
      if (mappings.length === 0) continue;
      const summary = `User mode may access ${pagesText(framesOf(mappings))} of ${what}.`;
      yield occurrenceOfMappings(kernel, mappings, { severity, summary });
    }
  },
};
