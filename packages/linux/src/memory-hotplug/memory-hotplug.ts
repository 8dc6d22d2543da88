import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { hekiMap } from '../heki/heki-hooks.ts';
import type { KernelState } from '../kernel-state.ts';
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
  const section = start / SECTION_FRAMES;
  const map =
    pages.allocate(SECTION_MAP_ORDER) ?? fail(Errno.ENOMEM, 'no 2 MiB for the array of struct page');
  const pageArray = (layout.vmemmap + section * SECTION_MAP) as VirtualFrame;
  const direct = (layout.directMap + start) as VirtualFrame;
  tables.edit(() => {
    const parts = [
      tables.map(pageArray, SECTION_MAP, map, PAGE_KERNEL, 2),
      tables.map(direct, SECTION_FRAMES, start, PAGE_KERNEL, vcpu.profile.gigabytePages ? 3 : 2),
    ];
    for (const { why } of parts) if (why !== undefined) fail(Errno.ENOMEM, `mapping ended early: ${why}`);
  });
  kernel.memoryEnd = end;
  if (!defects['B-G4']) {
    for (const [first, count] of [
      [pageArray, SECTION_MAP],
      [direct, SECTION_FRAMES],
    ] as const) {
      const refused = hekiMap(kernel, first, (first + count) as VirtualFrame);
      if (refused !== 0) fail(-refused, 'Heki refused the new memory');
    }
  }
  pages.add({ start, end });
  emit({ type: 'log', text: `Memory hotplug: section ${section} is online` });
}
