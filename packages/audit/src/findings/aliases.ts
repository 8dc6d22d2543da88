import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { Mapping } from '../mapping.ts';
import { occurrenceOfMappings, occurrencesOf, placesOf } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { extentsWithin } from '../within.ts';

export const STALE_READ_ONLY: FindingKind = {
  id: 'heki/stale-read-only',
  title: 'Read-only at one address, writable at another',
  worst: 'info',
  explanation:
    'A mapping says read-only, another of the same page says writable. It is not text, not a constant and not a descriptor table: those are findings of their own.',
  attack: 'Nothing relies on the read-only mapping; it only misleads a reader of page tables.',
  legitimate:
    "Memory of the image that was freed after boot keeps its mapping there; when a module's pages come from it, both become read-only, and only the direct map writable again (set_direct_map_default_noflush). The stacks of espfix are mapped read-only, and so is most of the account of a huge page (hugetlb_free_vmemmap=on).",
  advice: 'Nothing.',
  *find(kernel) {
    yield* occurrencesOf(kernel, kernel.extents.filter(isStale), ({ pagesText, places }) => ({
      severity: 'info',
      summary: `${pagesText} read-only at one address can be written at another: ${places}.`,
    }));
  },
};

export const MIXED_LARGE_PAGE: FindingKind = {
  id: 'heki/mixed-large-page',
  title: 'A large page over pages of different rights',
  worst: 'info',
  explanation:
    'A 2-MiB or 1-GiB leaf maps pages of which other mappings allow different things: together their rights differ from page to page.',
  attack: 'None by itself; what the large page allows is allowed for all of them.',
  legitimate: 'The direct map has large pages over memory that vmalloc or the image map page by page.',
  advice:
    'Nothing. A hypervisor that enforces the rights of single pages has to split its own large pages there.',
  *find(kernel) {
    const mixed = kernel.mappings.filter((mapping) => mapping.level > 1 && hasMixedRights(kernel, mapping));
    const groups = new Map<string, Mapping[]>();
    for (const mapping of mixed) {
      const key = placesOf([mapping]).join();
      groups.set(key, [...(groups.get(key) ?? []), mapping]);
    }
    for (const [place, mappings] of groups) {
      const summary = `${mappings.length.toLocaleString('en-US')} large ${mappings.length === 1 ? 'page' : 'pages'} (${place}) over pages of which other mappings allow different things.`;
      yield occurrenceOfMappings(kernel, mappings, { severity: 'info', summary });
    }
  },
};

function hasMixedRights({ extents }: AuditedKernel, { guestFrame, frames }: Mapping): boolean {
  const inside = extentsWithin(extents, {
    start: guestFrame,
    end: (guestFrame + frames) as typeof guestFrame,
  });
  return inside.some(({ rights }) => rights !== inside[0]?.rights);
}

/** Regions whose read-only mappings are findings of their own. */
const MEANT: readonly string[] = ['kernel text', 'kernel rodata', 'modules', 'cpu_entry_area'];

function isStale({ rights, mappings }: FrameExtent): boolean {
  return (
    (rights & Rights.WRITE) !== 0 &&
    (rights & Rights.EXECUTE) === 0 &&
    mappings.some((one) => one.rights === Rights.READ) &&
    !mappings.some(({ region, rights: of }) => of === Rights.READ && MEANT.includes(region))
  );
}
