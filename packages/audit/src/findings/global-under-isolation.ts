import { EntryLow } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import { isIsolated } from '../isolation.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';
import { isOfImage } from '../within.ts';

/** Where no mapping has G under page-table isolation, but for aliases of the image's code and constants. */
const WITHOUT_GLOBAL: readonly string[] = [
  'direct map',
  'vmalloc',
  'vmemmap',
  'vmalloc or vmemmap',
  'KASAN shadow',
  'LDT remap',
  'kernel data',
  'modules',
];

export const GLOBAL_UNDER_ISOLATION: FindingKind = {
  id: 'heki/global-under-isolation',
  title: 'Global mappings of the kernel under page-table isolation',
  worst: 'medium',
  explanation:
    'Page-table isolation is on: user mode runs on tables that lack the kernel, and Linux clears G in the entries of what they lack, so that no translation of it outlives the switch. Here entries have it.',
  attack:
    'What the kernel touched there stays in the TLB while a program runs, and a processor that speculates past U/S (Meltdown) reads it.',
  legitimate: 'Nothing.',
  advice:
    'Find what wrote the entries; a driver that makes mappings by itself, with PAGE_KERNEL_EXEC or __PAGE_KERNEL, is one.',
  *find(kernel) {
    if (isIsolated(kernel.mappings) !== true) return;
    const global = kernel.mappings.filter(
      (one) => (one.low & EntryLow.G) !== 0 && WITHOUT_GLOBAL.includes(one.region) && !isShown(kernel, one),
    );
    if (global.length === 0) return;
    const summary = `${pagesText(framesOf(global))} of the kernel's half have G set, and user mode's tables lack them.`;
    yield occurrenceOfMappings(kernel, global, { severity: 'medium', summary });
  },
};

/** Without PCID user mode's tables show all code and constants of the image, and their aliases keep G, too. */
function isShown(kernel: AuditedKernel, { region, guestFrame }: Mapping): boolean {
  return region === 'direct map' && isOfImage(kernel, guestFrame);
}
