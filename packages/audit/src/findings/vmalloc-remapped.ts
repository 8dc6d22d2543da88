import { firstBehind, type Gfn, type VirtualFrame } from '@heki/physical-memory';
import type { ListedArea } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { Mapping } from '../mapping.ts';
import { framesOf, occurrenceOfMappings, pagesText } from '../occurrence.ts';

/** Regions that vmalloc gives out of. */
const OF_VMALLOC: readonly string[] = ['vmalloc', 'modules'];

export const VMALLOC_REMAPPED: FindingKind = {
  id: 'heki/vmalloc-remapped',
  title: 'What vmalloc gave out leads to other frames',
  worst: 'high',
  explanation:
    'vmalloc has a list of all that it gave out (vmap_area), and for what it allocated, modules and stacks among it, a list of the pages (vm_struct.pages). Here page tables lead an address to another frame than that list does, or map what nobody was given. Only dumps with the contents of memory show it.',
  attack:
    "The page behind an address of a module's code or data, or of a stack, was exchanged for one of the attacker's, by one page-table entry: permissions are as before, and what was there stays where it was for who looks at frames.",
  legitimate:
    'A CPU that was about to give memory back when the dump was made; drivers that map pages over what vmalloc allocated for them, of which none is in Linux.',
  advice:
    'Dump the guest again. If the pages are there again, treat it as compromised: compare the page that the address leads to with the one that vmalloc has.',
  *find(kernel) {
    const { listedCode } = kernel;
    if (listedCode === undefined) return;
    const isWhole = (listedCode.brokenLists ?? []).length === 0;
    const elsewhere: Mapping[] = [];
    const unowned: Mapping[] = [];
    for (const mapping of kernel.mappings) {
      if (!OF_VMALLOC.includes(mapping.region)) continue;
      for (const { area, part } of partsOf(listedCode.areas, mapping)) {
        if (area !== undefined) elsewhere.push(...strayedOf(area, part));
        else if (isWhole) unowned.push(part);
      }
    }
    for (const [pages, what] of [
      [elsewhere, 'lead to other frames than vmalloc has there'],
      [unowned, 'are mapped where vmalloc gave nothing out'],
    ] as const) {
      if (pages.length === 0) continue;
      const summary = `${pagesText(framesOf(pages))} of vmalloc and modules ${what}.`;
      yield occurrenceOfMappings(kernel, pages, { severity: 'high', summary });
    }
  },
};

/** `mapping` by the areas that it lies in. */
function* partsOf(
  areas: readonly ListedArea[],
  mapping: Mapping,
): Generator<{ readonly area: ListedArea | undefined; readonly part: Mapping }> {
  const end = mapping.virtualFrame + mapping.frames;
  for (let at: number = mapping.virtualFrame; at < end; ) {
    const next = areas[firstBehind(areas, at)];
    const area = next !== undefined && next.start <= at ? next : undefined;
    const until = Math.min(end, area?.end ?? next?.start ?? end);
    yield { area, part: partOf(mapping, at, until - at) };
    at = until;
  }
}

/** The pages of `part` that lead to other frames than those that vmalloc has in `area`. */
function strayedOf({ start, frames }: ListedArea, part: Mapping): Mapping[] {
  if (frames === undefined) return [];
  const strayed: Mapping[] = [];
  for (let index = 0; index < part.frames; index++) {
    const expected = frames[part.virtualFrame + index - start];
    if (expected !== part.guestFrame + index) strayed.push(partOf(part, part.virtualFrame + index, 1));
  }
  return strayed;
}

/** `frames` pages of `mapping`, from the virtual frame `at` on. */
function partOf(mapping: Mapping, at: number, frames: number): Mapping {
  const guestFrame = (mapping.guestFrame + at - mapping.virtualFrame) as Gfn;
  return { ...mapping, virtualFrame: at as VirtualFrame, guestFrame, frames };
}
