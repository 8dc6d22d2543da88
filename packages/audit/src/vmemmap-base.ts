import { type Gfn, type VirtualAddress, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import type { Mapping } from './mapping.ts';
import { mappingAt } from './mapping-at.ts';

/** KASLR moves vmemmap by whole GiB (kernel_randomize_memory rounds to PUD_SIZE). */
const ALIGNMENT = 2 ** 18;
/** Frames of a section (SECTION_SIZE_BITS 27), whose `struct page`s, of 64 bytes each, fill 2 MiB of vmemmap. */
const SECTION_FRAMES = 2 ** 15;
const PAGES_PER_SECTION = 512;

/** The sections of whose frames `count` pages of vmemmap, from the one `page` behind its start on, have the `struct page`s. */
export function sectionsShownAt(page: number, count: number): number[] {
  const first = Math.floor(page / PAGES_PER_SECTION);
  const last = Math.floor((page + count - 1) / PAGES_PER_SECTION);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Sections of which `mappings` have a frame in the direct map. */
export function sectionsInDirectMap(mappings: readonly Mapping[]): Set<number> {
  const sections = new Set<number>();
  for (const { region, guestFrame, frames } of mappings) {
    if (region !== 'direct map') continue;
    const last = sectionOf((guestFrame + frames - 1) as Gfn);
    for (let section = sectionOf(guestFrame); section <= last; section++) sections.add(section);
  }
  return sections;
}

function sectionOf(frame: Gfn): number {
  return Math.floor(frame / SECTION_FRAMES);
}

/**
 * Where vmemmap begins, by what it has to show: a `struct page` for each frame of the sections that are in the direct map. Of several such
 * places it is the highest, as KASLR keeps the order of the regions. `undefined` where none shows half of them.
 */
export function vmemmapBase(mappings: readonly Mapping[]): VirtualAddress | undefined {
  const sections = [...sectionsInDirectMap(mappings)];
  const candidates = new Set<number>();
  const [first] = sections.sort((a, b) => a - b);
  if (first === undefined) return undefined;
  for (const { region, virtualFrame } of mappings) {
    if (region !== 'vmalloc or vmemmap') continue;
    const start = virtualFrame - first * PAGES_PER_SECTION;
    candidates.add(start - (start % ALIGNMENT));
  }
  const shown = (start: number): number =>
    sections.filter(
      (section) => mappingAt(mappings, (start + section * PAGES_PER_SECTION) as VirtualFrame) !== undefined,
    ).length;
  let best: number | undefined;
  let most = sections.length / 2;
  for (const candidate of [...candidates].sort((a, b) => a - b)) {
    const count = shown(candidate);
    if (count < most) continue;
    best = candidate;
    most = count;
  }
  return best === undefined ? undefined : virtualAddressOf(best as VirtualFrame);
}
