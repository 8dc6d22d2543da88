import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Severity } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, occurrenceWithoutMemory, pagesText } from '../occurrence.ts';
import { Rights } from '../rights.ts';

export const UNLISTED_CODE: FindingKind = {
  id: 'heki/unlisted-code',
  title: 'Code that no list of the kernel names',
  worst: 'high',
  explanation:
    "Among the modules a page can be executed that belongs to no module of the kernel's list, to no program or pack of eBPF, no trampoline of ftrace and no slot of a kprobe, and is no page of thunks against ITS (jumps through registers, and nothing else). What vmalloc says of it tells whether the loader of modules asked for it. Where one of these lists is broken, that is told in place of the pages. Only dumps with the contents of memory show it.",
  attack:
    'A rootkit is loaded as a module and takes itself out of the list of modules, so that lsmod does not show it; or its code was put there by page-table entries alone.',
  legitimate:
    'A module whose init is about to be freed, and a driver that makes code by itself: medium, unless the loader of modules made it. A dump that was made while the guest ran may have a broken list.',
  advice:
    'Treat the guest as compromised where the loader of modules asked for the memory, or nobody did. Look at the code (heki read) and at what calls it.',
  *find(kernel) {
    const { listedCode, mappings } = kernel;
    if (listedCode === undefined) return;
    const broken = [...new Set(listedCode.brokenLists)].join(', ');
    if (broken !== '') {
      const summary = `The kernel's list (${broken}) leads astray before it comes back to its head: whether code is missing in it cannot be told.`;
      yield occurrenceWithoutMemory(broken, 'high', summary);
      return;
    }
    const origins = new Map<Origin, Mapping[]>(ORIGINS.map(([origin]) => [origin, []]));
    for (const mapping of mappings) {
      if (mapping.region !== 'modules' || (mapping.rights & Rights.EXECUTE) === 0) continue;
      for (const page of unlistedPages(listedCode, mapping))
        origins.get(originOf(listedCode, page))?.push(page);
    }
    for (const [origin, severity, what] of ORIGINS) {
      const pages = origins.get(origin) ?? [];
      if (pages.length === 0) continue;
      const summary = `${pagesText(framesOf(pages))} of code ${what}.`;
      yield occurrenceOfMappings(kernel, pages, { severity, summary });
    }
  },
};

/** Who vmalloc says a page was given to. */
type Origin = 'module' | 'nobody' | 'other';
const ORIGINS: readonly (readonly [Origin, Severity, string])[] = [
  ['module', 'high', 'belong to a module that the list of modules does not have'],
  ['nobody', 'high', 'belong to nothing that is listed, and no allocator gave them out'],
  ['other', 'medium', 'belong to nothing that is listed'],
];

type ListedCode = NonNullable<AuditedKernel['listedCode']>;

/** Each page of `mapping` that no range has. */
function unlistedPages({ ranges }: ListedCode, mapping: Mapping): Mapping[] {
  const { virtualFrame, guestFrame, frames } = mapping;
  const inside = ranges.filter(({ start, end }) => start < virtualFrame + frames && end > virtualFrame);
  const pages: Mapping[] = [];
  for (let index = 0; index < frames; index++) {
    const at = (virtualFrame + index) as VirtualFrame;
    if (inside.some(({ start, end }) => at >= start && at < end)) continue;
    pages.push({ ...mapping, virtualFrame: at, guestFrame: (guestFrame + index) as Gfn, frames: 1 });
  }
  return pages;
}

function originOf({ areas }: ListedCode, { virtualFrame }: Mapping): Origin {
  const area = areas.find(({ start, end }) => virtualFrame >= start && virtualFrame < end);
  if (area === undefined) return 'nobody';
  return area.isModule ? 'module' : 'other';
}
