import { type Gfn, hex, PAGE_SIZE, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import { upperHalfStart, walkMappings } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
import { rightsOf } from '../rights.ts';
import { cpuRoots, isUserTable, type OtherRoot } from '../root-tables.ts';
import { extentsWithin } from '../within.ts';

/** Page tables of one root that are read; page-table isolation needs some dozen. */
const MOST_TABLES = 2 ** 16;
/** Mappings that are told of; the first alone would do. */
const MOST_MAPPINGS = 2 ** 14;

/**
 * What user mode's tables may show: the entry area, the LDT, espfix stacks, the vsyscall page, and of the image entry code, or all code and
 * constants where the processor has no PCID (pti_clone_entry_text, pti_clone_kernel_text).
 */
const SHOWN: readonly string[] = [
  'cpu_entry_area',
  'LDT remap',
  'espfix',
  'vsyscall',
  'kernel text',
  'kernel rodata',
];

export const USER_TABLES_SHOW_MORE: FindingKind = {
  id: 'heki/user-tables-show-more',
  title: "User mode's tables of page-table isolation show more than they need",
  worst: 'high',
  explanation:
    'Page-table isolation takes the kernel out of the tables on which user mode runs, but for what entering it needs: the entry area, entry code, a page of each CPU with its TSS. Here more of the kernel is mapped in them, though user mode may not access it.',
  attack:
    'A processor that speculates past U/S (Meltdown) reads for any program whatever is mapped there: the direct map is all of memory.',
  legitimate: 'Nothing.',
  advice: 'Find what wrote the entry; compare the tables with those of another program (heki walk --range).',
  *find(kernel) {
    for (const other of cpuRoots(kernel).own) {
      if (!isUserTable(kernel, other)) continue;
      const { shown, isWhole } = shownBeyondNeed(kernel, other);
      if (!isWhole) {
        const summary = `In ${other.name}, ${hex(other.root * PAGE_SIZE)}, on which user mode runs, the kernel's half has more than ${MOST_TABLES.toLocaleString('en-US')} page tables.`;
        yield occurrenceWithoutMemory('too many page tables', 'high', summary);
      }
      if (shown.length === 0) continue;
      const summary = `In ${other.name}, ${hex(other.root * PAGE_SIZE)}, on which user mode runs, ${pagesText(framesOf(shown))} of the kernel are mapped that it does not need.`;
      yield occurrenceOfMappings(kernel, shown, { severity: 'high', summary });
    }
  },
};

function shownBeyondNeed(
  kernel: AuditedKernel,
  { root }: OtherRoot,
): { readonly shown: readonly Mapping[]; readonly isWhole: boolean } {
  const { tables, regions } = kernel;
  const shown: Mapping[] = [];
  const { stoppedAt } = walkMappings(
    { ...tables, root, budget: MOST_TABLES },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    (leaf) => {
      const region = regionAt(regions, leaf.virtualFrame);
      const mapping: Mapping = { ...leaf, rights: rightsOf(leaf.effective), region };
      if (shown.length < MOST_MAPPINGS && !SHOWN.includes(region) && !isOfEntryArea(kernel, mapping)) {
        shown.push(mapping);
      }
    },
  );
  return { shown, isWhole: stoppedAt === undefined };
}

/** Whether the entry area maps all of `mapping`'s frames, too: those of a TSS are shown at the address that the kernel writes them at. */
function isOfEntryArea({ extents }: AuditedKernel, { guestFrame, frames }: Mapping): boolean {
  const own = extentsWithin(extents, { start: guestFrame, end: (guestFrame + frames) as Gfn });
  return (
    own.reduce((sum, { start, end }) => sum + end - start, 0) === frames &&
    own.every(({ mappings }) => mappings.some(({ region }) => region === 'cpu_entry_area'))
  );
}
