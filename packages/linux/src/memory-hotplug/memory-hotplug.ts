import type { VirtualRange } from '@heki/guest';
import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { hekiMap, hekiUnmap } from '../heki/heki-hooks.ts';
import type { KernelState } from '../kernel-state.ts';
import type { AddressLayout } from '../layout/layout.ts';
import { mappedFrames } from '../mm/mapped-frames.ts';
import { PAGE_KERNEL } from '../mm/vmalloc.ts';
import { Errno, fail } from '../outcome.ts';

/** Frames of a section (SECTION_SIZE_BITS 27): memory comes and goes in these. */
export const SECTION_FRAMES = 2 ** 15;
/** Pages of the array of struct page for one section, 64 bytes each: a block of 2 MiB. */
const SECTION_MAP = 512;
const SECTION_MAP_ORDER = 9;

/**
 * `add_memory` and `online_pages`: a section that was plugged in gets its part of the array of struct page and of the direct map, and goes to
 * the page allocator. The series has no hook here; with B-G4 mended Heki is told of the new mappings.
 *
 * @throws {KernelStop} -EINVAL for what is no section behind the memory that there is, -ENOMEM, or Heki's refusal
 */
export function addMemory(kernel: KernelState, { start, end }: FrameRange<Gfn>): void {
  const { layout, tables, pages, vcpu, defects, emit } = kernel;
  if (start % SECTION_FRAMES !== 0 || end - start !== SECTION_FRAMES || start < kernel.memoryEnd) {
    fail(
      Errno.EINVAL,
      `frames 0x${start.toString(16)}-0x${end.toString(16)}: expected a free section of 128 MiB`,
    );
  }
  const map =
    pages.allocate(SECTION_MAP_ORDER) ?? fail(Errno.ENOMEM, 'no 2 MiB for the array of struct page');
  const { pageArray, direct } = mappingsOf(layout, start);
  tables.edit(() => {
    const parts = [
      tables.map(pageArray.start, SECTION_MAP, map, PAGE_KERNEL, 2),
      tables.map(direct.start, SECTION_FRAMES, start, PAGE_KERNEL, vcpu.profile.gigabytePages ? 3 : 2),
    ];
    for (const { why } of parts) if (why !== undefined) fail(Errno.ENOMEM, `mapping ended early: ${why}`);
  });
  kernel.memoryEnd = end;
  if (!defects['B-G4']) {
    for (const range of [pageArray, direct]) {
      const refused = hekiMap(kernel, range.start, range.end);
      if (refused !== 0) fail(-refused, 'Heki refused the new memory');
    }
  }
  pages.add({ start, end });
  emit({ type: 'log', text: `Memory hotplug: section ${start / SECTION_FRAMES} is online` });
}

/**
 * `offline_pages` and `arch_remove_memory`: the last section that {@link addMemory} took leaves the page allocator, the direct map and the
 * array of struct page, and can be unplugged. Linux would move what lies in it, as far as that can be moved; here it must be free.
 *
 * @throws {KernelStop} -EINVAL for another section, -EBUSY when a page of it is in use, or Heki's refusal
 */
export function removeMemory(kernel: KernelState, { start, end }: FrameRange<Gfn>): void {
  const { layout, tables, pages, defects, emit } = kernel;
  if (end !== kernel.memoryEnd || end - start !== SECTION_FRAMES || start < kernel.memoryMap.ramEnd) {
    fail(
      Errno.EINVAL,
      `frames 0x${start.toString(16)}-0x${end.toString(16)}: expected the last section that was added`,
    );
  }
  const { pageArray, direct } = mappingsOf(layout, start);
  const [map = 0 as Gfn] = mappedFrames(kernel, pageArray.start, 1);
  if (!pages.remove({ start, end })) fail(Errno.EBUSY, 'pages of the section are in use');
  if (!defects['B-G4']) {
    const told: VirtualRange[] = [];
    for (const range of [direct, pageArray]) {
      const refused = hekiUnmap(kernel, range.start, range.end);
      if (refused !== 0) {
        for (const one of told) hekiMap(kernel, one.start, one.end);
        pages.add({ start, end });
        fail(-refused, 'Heki refused to give the memory up');
      }
      told.push(range);
    }
  }
  tables.edit(() => {
    for (const range of [direct, pageArray]) tables.unmap(range.start, range.end, false);
  });
  pages.free(map, SECTION_MAP_ORDER);
  kernel.memoryEnd = start;
  emit({ type: 'log', text: `Memory hotplug: section ${start / SECTION_FRAMES} is offline` });
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
