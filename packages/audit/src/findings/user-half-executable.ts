import { type Gfn, hex, PAGE_SIZE } from '@heki/physical-memory';
import { CR4, EntryHigh, EntryLow } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import { occurrenceWithoutMemory } from '../occurrence.ts';
import { cpuRoots, isUserTable, type OtherRoot } from '../root-tables.ts';

/** The first slot of the kernel's half in a root table. */
const KERNEL_SLOT = 256;

export const USER_HALF_EXECUTABLE: FindingKind = {
  id: 'heki/user-half-executable',
  title: "The kernel's tables of page-table isolation let it execute programs",
  worst: 'high',
  explanation:
    "Under page-table isolation each program has two roots, and in the one on which the kernel runs Linux disables execution in every entry for user mode's half (pti_set_user_pgtbl), whether the processor has SMEP or not. Here an entry lacks the bit.",
  attack:
    "The kernel, or a CPU that returns to user mode without a switch of tables, can execute a program's pages: SMEP alone is in the way, which is one bit of CR4.",
  legitimate: 'Nothing; a processor without execute-disable, on which no entry has it.',
  advice: 'Find what wrote the entry; compare it with that of another program (heki walk --cpu-index N).',
  *find(kernel) {
    if (!kernel.mappings.some(({ high }) => high >>> 31 === 1)) return;
    const isWithoutSmep = kernel.cpus.some(({ cr4 }) => (cr4 & CR4.SMEP) === 0n);
    for (const { name, root } of isolatedRoots(kernel)) {
      const slots = executableSlots(kernel, root);
      if (slots.length === 0) continue;
      const are = slots.length === 1 ? 'entry' : 'entries';
      const summary = `In ${name}, ${hex(root * PAGE_SIZE)}, on which the kernel runs, ${slots.length} ${are} of user mode's half ${slots.length === 1 ? 'lets' : 'let'} it execute what is there.`;
      yield occurrenceWithoutMemory("user mode's half", isWithoutSmep ? 'high' : 'medium', summary);
    }
  },
};

/** The kernel's roots of the pairs that page-table isolation makes. */
function isolatedRoots(kernel: AuditedKernel): OtherRoot[] {
  const { own } = cpuRoots(kernel);
  const roots: readonly OtherRoot[] = [{ root: kernel.tables.root, name: "the kernel's root" }, ...own];
  return roots.filter(({ root }) =>
    own.some((other) => other.root === root + 1 && isUserTable(kernel, other)),
  );
}

/** Slots of user mode's half by which the kernel may execute. EFI's are for the kernel alone, and Linux leaves those as they are. */
function executableSlots({ tables }: AuditedKernel, root: Gfn): number[] {
  const page = tables.memory.page(root);
  const ofPrograms = EntryLow.P | EntryLow.US;
  return Array.from({ length: KERNEL_SLOT }, (_, slot) => slot).filter((slot) => {
    const [low = 0, high = 0] = [page?.[2 * slot], page?.[2 * slot + 1]];
    return (low & ofPrograms) === ofPrograms && (high & EntryHigh.XD) === 0;
  });
}
