import { VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { walkMappings } from '@heki/x86';
import type { Move } from './move.ts';
import { ENTRY_AREA, ESPFIX_AREA, type KernelToRedact, MODULES_AREA, type MovePlan } from './plan-moves.ts';

/** Something that KASLR chose, or a part of it, that a redacted dump still shows. */
export interface Remains {
  readonly subject:
    | 'image-in-memory'
    | 'image-gib'
    | 'region-sides'
    | 'entry-area-order'
    | 'espfix-page'
    | 'module-offset'
    | 'kasan-shadow';
  readonly detail: string;
}

/** KASAN's shadow memory (Linux, Documentation/arch/x86/x86_64/mm.rst): with 5 levels it begins lower, and ends there, too. */
const SHADOW = { start: VIRTUAL_FRAME_END - 5 * 2 ** 30, end: VIRTUAL_FRAME_END - 2 ** 30 };

/**
 * What is still to be seen of the choices of KASLR.
 *
 * @param imageStays why the image is in memory where it was, if it is
 */
export function remainsOf(
  kernel: KernelToRedact,
  { direct, image, others }: MovePlan,
  imageStays: string | undefined,
): Remains[] {
  const areRegionsMoved = direct.start !== direct.to;
  const isImageMoved = image !== undefined && image.start !== image.to;
  const has = (
    start: number,
    end: number,
    isSuch: (leaf: { readonly level: number }) => boolean,
  ): boolean => {
    let found = false;
    walkMappings(kernel, start as VirtualFrame, end as VirtualFrame, (leaf) => {
      found ||= isSuch(leaf);
    });
    return found;
  };
  const all: (Remains | false)[] = [
    imageStays !== undefined && {
      subject: 'image-in-memory',
      detail: `where in memory the kernel's image lies: ${imageStays}`,
    },
    imageStays === undefined &&
      has(kernel.directMap.start, kernel.directMap.end, ({ level }) => level === 3) && {
        subject: 'image-gib',
        detail: "in which GiB of memory the kernel's image lies: the direct map has no leaf of 1 GiB there",
      },
    areRegionsMoved && {
      subject: 'region-sides',
      detail:
        "of each region, on which side of the published direct map's end it was: the verdict under rfc-v2 depends on that",
    },
    strewnAreas(others) > 1 && {
      subject: 'entry-area-order',
      detail: "in which order the CPUs' entry areas lie",
    },
    others.some(({ start }) => start >= ESPFIX_AREA.start && start < ESPFIX_AREA.end) && {
      subject: 'espfix-page',
      detail: 'which of 16 pages has the stack for 16-bit code (espfix)',
    },
    isImageMoved &&
      has(MODULES_AREA.start, MODULES_AREA.end, ({ level }) => level > 1) && {
        subject: 'module-offset',
        detail: 'how far from a multiple of 2 MiB the modules begin: a large leaf maps some of them',
      },
    !areRegionsMoved &&
      isImageMoved &&
      has(SHADOW.start, SHADOW.end, () => true) && {
        subject: 'kasan-shadow',
        detail: "where the kernel's image was: KASAN's shadow of it stays in its place",
      },
  ];
  return all.filter((one) => one !== false);
}

/** More frames than struct cpu_entry_area has: where KASLR does not strew them, one follows the other. */
const ENTRY_AREA_FRAMES = 64;

/** The CPUs' entry areas before which there was a gap that KASLR left. */
function strewnAreas(moves: readonly Move[]): number {
  let before = 0;
  return moves.filter(({ start, to }) => {
    if (start < ENTRY_AREA.start || start >= ENTRY_AREA.end) return false;
    const gap = start - to - before;
    before = start - to;
    return gap > ENTRY_AREA_FRAMES;
  }).length;
}
