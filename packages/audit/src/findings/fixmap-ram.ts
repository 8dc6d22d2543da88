import type { FindingKind } from '../finding.ts';
import { occurrencesOf } from '../occurrence.ts';
import { isForeignTo } from './foreign-frames.ts';

export const FIXMAP_RAM: FindingKind = {
  id: 'heki/fixmap-ram',
  title: 'The fixmap leads to RAM',
  worst: 'high',
  explanation:
    'The fixmap has slots at known addresses for registers of interrupt controllers, which are no RAM. Here one leads to a page that the direct map shows, too.',
  attack:
    'A slot that is not used is a second way to a page at an address that KASLR does not move; one that is used, led to RAM, takes interrupts from the kernel.',
  legitimate:
    "A kernel that boots maps tables of the firmware there (early_ioremap), and one that is told of errors by the firmware its reports (GHES): medium, where the page is nothing else of the kernel's.",
  advice: 'Look at the page (heki read), and at what else maps it.',
  *find(kernel) {
    const isForeign = isForeignTo(kernel, 'fixmap');
    const shown = kernel.extents.filter(
      ({ mappings }) =>
        mappings.some(({ region }) => region === 'fixmap') &&
        mappings.some(({ region }) => region !== 'fixmap'),
    );
    for (const [extents, severity] of [
      [shown.filter(isForeign), 'high'],
      [shown.filter((one) => !isForeign(one)), 'medium'],
    ] as const) {
      yield* occurrencesOf(kernel, extents, ({ pagesText, places }) => ({
        severity,
        summary: `${pagesText} of RAM ${pagesText === '1 page' ? 'is' : 'are'} mapped in the fixmap: ${places}.`,
      }));
    }
  },
};
