import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { Mapping } from '../mapping.ts';
import { occurrencesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { extentsOfFrames } from '../within.ts';

/** Where Linux has its page tables mapped: all in the direct map, those of early boot in the image, too. */
function isHome({ region }: Mapping): boolean {
  return region === 'direct map' || region.startsWith('kernel ');
}

export const PAGE_TABLE_ALIAS: FindingKind = {
  id: 'heki/page-table-alias',
  title: 'A page table is mapped where none belongs',
  worst: 'critical',
  explanation:
    'Linux reaches its page tables through the direct map, and a few through its image. This one has another address as well.',
  attack: 'Whoever writes through that address maps what he likes, unobserved.',
  legitimate: 'Nothing in Linux.',
  advice: 'Find who mapped it (vmap, ioremap of RAM, a driver), and what else it maps.',
  *find(kernel) {
    const extents = tableExtents(kernel).filter(({ mappings }) =>
      mappings.some((mapping) => !isHome(mapping)),
    );
    yield* occurrencesOf(kernel, extents, ({ mappings, pages, pagesText, places }) => {
      const writable = mappings.some((mapping) => !isHome(mapping) && (mapping.rights & Rights.WRITE) !== 0);
      const are = pages === 1 ? 'is' : 'are';
      return {
        severity: writable ? 'critical' : 'medium',
        summary: `${pagesText} of page tables ${are} mapped outside the direct map: ${places}.`,
      };
    });
  },
};

export const PAGE_TABLE_READ_ONLY: FindingKind = {
  id: 'heki/page-table-read-only',
  title: 'A page table that the kernel cannot write',
  worst: 'medium',
  explanation:
    'A page table of the kernel is mapped, and no mapping lets the kernel write it, as Linux does before every change.',
  attack:
    'None by itself; a page that was a constant has been turned into a page table, or a table was sealed to keep what it maps.',
  legitimate: 'Hardening outside of mainline (page tables that only a hypervisor changes), and Xen PV.',
  advice: 'Find out which table it is (heki walk) and who sealed it.',
  *find(kernel) {
    const extents = tableExtents(kernel).filter(({ rights }) => (rights & Rights.WRITE) === 0);
    yield* occurrencesOf(kernel, extents, ({ pagesText, places }) => ({
      severity: 'medium',
      summary: `${pagesText} of page tables cannot be written: ${places}.`,
    }));
  },
};

/** Each table page that is mapped at all. */
function tableExtents({ tableFrames, extents }: AuditedKernel): FrameExtent[] {
  return extentsOfFrames(
    extents,
    [...tableFrames].sort((a, b) => a - b),
  );
}
