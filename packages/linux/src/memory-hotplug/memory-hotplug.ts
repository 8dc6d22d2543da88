import type { VirtualRange } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { hekiMap } from '../heki/heki-hooks.ts';
import type { AddressLayout } from '../layout/layout.ts';
import { MappingChange } from '../mm/mapping-change.ts';
import { PAGE_KERNEL } from '../mm/vmalloc.ts';
import { fail } from '../outcome.ts';
import type { AddedSection, HotplugState } from './hotplug-state.ts';

/** Frames of a section (SECTION_SIZE_BITS 27): memory comes and goes in these. */
export const SECTION_FRAMES = 2 ** 15;
/** Pages of the array of struct page for one section, 64 bytes each: a block of 2 MiB. */
const SECTION_MAP = 512;
const SECTION_MAP_ORDER = 9;

/**
 * `add_memory` and `online_pages`: a section that was plugged in gets its part of the array of struct page and of the direct map, and goes to
 * the page allocator. The series has no hook here; with B-G4 mended Heki is told of the new mappings. An error leaves nothing behind.
 *
 * @throws {KernelStop} -EINVAL for what is not a section behind the memory that there is, -ENOMEM, or Heki's refusal
 */
export function addMemory(kernel: HotplugState, range: FrameRange<Gfn>): void {
  const { start, end } = range;
  const { pages, memoryEnd, emit } = kernel;
  if (start % SECTION_FRAMES !== 0 || end - start !== SECTION_FRAMES || start < memoryEnd) {
    fail(
      Errno.EINVAL,
      `frames 0x${start.toString(16)}-0x${end.toString(16)}: expected a free section of 128 MiB`,
    );
  }
  const map =
    pages.allocate(SECTION_MAP_ORDER) ?? fail(Errno.ENOMEM, 'no 2 MiB for the array of struct page');
  const section = { range, map, memoryEnd };
  kernel.memoryEnd = end;
  const why = mapSection(kernel, section);
  const back = new MappingChange(kernel);
  const refused =
    why === undefined
      ? tellOf(
          kernel,
          section,
          (from, to) => hekiMap(kernel, from, to),
          (from, to) => back.unmap(from, to),
        )
      : 0;
  if (why !== undefined || refused !== 0) {
    takeDown(back, section);
    if (why !== undefined) fail(Errno.ENOMEM, `mapping ended early: ${why}`);
    fail(-refused, 'Heki refused the new memory');
  }
  pages.add(range);
  kernel.addedSections.push(section);
  emit({ type: 'log', text: `Memory hotplug: section ${start / SECTION_FRAMES} is online` });
}

/**
 * `offline_pages` and `arch_remove_memory`: the last section that {@link addMemory} took leaves the page allocator, the direct map and the
 * array of struct page, and can be unplugged. Linux would move what lies in it, as far as that can be moved; here it must be free.
 *
 * @throws {KernelStop} -EINVAL for another section, -EBUSY when a page of it is in use, or Heki's refusal
 */
export function removeMemory(kernel: HotplugState, { start, end }: FrameRange<Gfn>): void {
  const { pages, addedSections, emit } = kernel;
  const section = addedSections.at(-1);
  if (section === undefined || section.range.start !== start || section.range.end !== end) {
    fail(
      Errno.EINVAL,
      `frames 0x${start.toString(16)}-0x${end.toString(16)}: expected the last section that was added`,
    );
  }
  if (!pages.remove(section.range)) fail(Errno.EBUSY, 'pages of the section are in use');
  const mappings = new MappingChange(kernel);
  const refused = tellOf(
    kernel,
    section,
    (from, to) => mappings.unmap(from, to),
    (from, to) => hekiMap(kernel, from, to),
  );
  if (refused !== 0) {
    pages.add(section.range);
    fail(-refused, 'Heki refused to give the memory up');
  }
  takeDown(mappings, section);
  addedSections.pop();
  emit({ type: 'log', text: `Memory hotplug: section ${start / SECTION_FRAMES} is offline` });
}

/** Why the section could not be mapped as a whole. */
function mapSection(
  { tables, layout, vcpu }: HotplugState,
  { range, map }: AddedSection,
): string | undefined {
  const { pageArray, direct } = mappingsOf(layout, range.start);
  return tables.edit(() => {
    const array = tables.map(pageArray.start, SECTION_MAP, map, PAGE_KERNEL, 2);
    const largest = vcpu.processor.gigabytePages ? 3 : 2;
    return array.why ?? tables.map(direct.start, SECTION_FRAMES, range.start, PAGE_KERNEL, largest).why;
  });
}

/** Takes the mappings of a section away, and gives back what held its struct pages. */
function takeDown(mappings: MappingChange, { range, map, memoryEnd }: AddedSection): void {
  const { kernel } = mappings;
  const { tables, layout, pages } = kernel;
  const { pageArray, direct } = mappingsOf(layout, range.start);
  mappings.edit(() => {
    for (const { start, end } of [direct, pageArray]) tables.unmap(start, end, false);
  });
  pages.free(map, SECTION_MAP_ORDER);
  kernel.memoryEnd = memoryEnd;
}

/** Tells Heki of the mappings of a section, without B-G4. What it refuses is as before, and so is what it was told first. */
function tellOf(
  kernel: HotplugState,
  { range }: AddedSection,
  hook: (start: VirtualFrame, end: VirtualFrame) => number,
  inverse: (start: VirtualFrame, end: VirtualFrame) => number,
): number {
  if (kernel.defects['B-G4']) return 0;
  const { pageArray, direct } = mappingsOf(kernel.layout, range.start);
  const told = hook(direct.start, direct.end);
  if (told !== 0) return told;
  const refused = hook(pageArray.start, pageArray.end);
  if (refused !== 0) inverse(direct.start, direct.end);
  return refused;
}

/** Where the section from `start` on has its part of the array of struct page, and of the direct map. */
function mappingsOf(
  layout: AddressLayout,
  start: Gfn,
): { readonly pageArray: VirtualRange; readonly direct: VirtualRange } {
  const pageArray = (layout.vmemmap + (start / SECTION_FRAMES) * SECTION_MAP) as VirtualFrame;
  const direct = (layout.directMap + start) as VirtualFrame;
  return {
    pageArray: { start: pageArray, end: (pageArray + SECTION_MAP) as VirtualFrame },
    direct: { start: direct, end: (direct + SECTION_FRAMES) as VirtualFrame },
  };
}
