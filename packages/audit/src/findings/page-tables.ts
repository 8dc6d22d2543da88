import { type Gfn, hex, virtualAddressOf } from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { LinkedTable } from '../kernel-table-pages.ts';
import type { Mapping } from '../mapping.ts';
import { occurrenceOfFrames, occurrencesOf, occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
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

export const PAGE_TABLE_OUTSIDE_DIRECT_MAP: FindingKind = {
  id: 'heki/page-table-outside-direct-map',
  title: 'A page table that the direct map lacks',
  worst: 'high',
  explanation:
    'Linux allocates its page tables from RAM and edits them through the direct map. This one is not mapped there: the kernel that uses it could not change it.',
  attack:
    'A table in the memory of a device, or in RAM that was taken out of the direct map, maps what the attacker likes and is not seen through the direct map.',
  legitimate: 'Nothing in Linux; a dump whose direct map is damaged.',
  advice: 'Find out which table it is (heki walk), and what it maps.',
  *find(kernel) {
    const hidden = [...kernel.tableFrames].filter((frame) => !isInDirectMap(kernel, frame));
    if (hidden.length === 0) return;
    const ranges = hidden.sort((a, b) => a - b).map((start) => ({ start, end: (start + 1) as Gfn }));
    const summary = `${pagesText(hidden.length)} of page tables ${hidden.length === 1 ? 'is' : 'are'} not in the direct map.`;
    yield occurrenceOfFrames(ranges, { severity: 'high', summary, place: 'page tables' });
  },
};

export const PAGE_TABLE_LINKED_TWICE: FindingKind = {
  id: 'heki/page-table-linked-twice',
  title: 'A page table that stands at two places',
  worst: 'critical',
  explanation:
    "Two entries lead to one page table, so that what it maps is mapped twice, or an entry leads to a table of its own level or above, so that page tables are mapped as data. Of the kernel's tables Linux shares those of KASAN's shadow and of espfix stacks, and no other.",
  attack:
    'One entry gives the attacker a second way to 2 MiB, 1 GiB or 512 GiB that is watched at its own addresses, or to the page tables themselves.',
  legitimate: "KASAN's shadow of untouched memory and espfix stacks, which are left out here.",
  advice: 'Find who wrote the entry; compare the two places (heki walk --range).',
  *find({ linkedTables, regions }) {
    const groups = new Map<string, LinkedTable[]>();
    for (const linked of linkedTables) {
      const places = [linked.first, linked].map(({ virtualFrame }) => regionAt(regions, virtualFrame));
      const key = `${places.join(', ')}${isAtAnotherLevel(linked) ? ', at another level' : ''}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [linked]);
      else group.push(linked);
    }
    for (const [place, [linked, ...others]] of groups) {
      if (linked === undefined) continue;
      const [here, there] = [linked, linked.first].map((one) => hex(virtualAddressOf(one.virtualFrame)));
      const as = isAtAnotherLevel(linked) ? `, read as one of level ${linked.level},` : '';
      const more = others.length === 0 ? '' : `; and so at ${others.length} more places`;
      const summary = `The page table for ${there}${as} is that for ${here}, too (${place})${more}.`;
      yield occurrenceWithoutMemory(place, isAtAnotherLevel(linked) ? 'critical' : 'high', summary);
    }
  },
};

/** Then entries of one are taken for leaves of the other: page tables are mapped as data. */
function isAtAnotherLevel({ level, first }: LinkedTable): boolean {
  return level !== first.level;
}

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

/** Whether the direct map shows `frame`; a table that the dump lacks is a finding of its own. */
function isInDirectMap({ tables, extents }: AuditedKernel, frame: Gfn): boolean {
  if (tables.memory.page(frame) === undefined) return true;
  const [extent] = extentsOfFrames(extents, [frame]);
  return extent?.mappings.some(({ region }) => region === 'direct map') ?? false;
}

/** Each table page that is mapped at all. */
function tableExtents({ tableFrames, programTableFrames, extents }: AuditedKernel): FrameExtent[] {
  return extentsOfFrames(
    extents,
    [...new Set([...tableFrames, ...programTableFrames])].sort((a, b) => a - b),
  );
}
