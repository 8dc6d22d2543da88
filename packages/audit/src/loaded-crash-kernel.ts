import type { FrameRange, Gfn } from '@heki/physical-memory';
import { CRASH_KERNEL } from '@heki/vmcore';
import type { FrameExtent } from './frame-extents.ts';
import { Rights } from './rights.ts';

/** A crash kernel takes some dozen mebibytes. */
const FEWEST_FRAMES = 2 ** 20 / 4096;
/** The pages of control code, and guards beside them. */
const WIDEST_GAP = 16;

/** Whether the direct map alone maps `extent`, and read-only. */
export function isReadOnlyAlone({ rights: all, mappings }: FrameExtent): boolean {
  return all === Rights.READ && mappings.every(({ region }) => region === 'direct map');
}

/**
 * Where a crash kernel may be loaded: kexec makes it read-only in the direct map (arch_kexec_protect_crashkres), and nothing else maps
 * it but a page of VMCOREINFO. `extents` ascend.
 */
export function loadedCrashKernel(extents: readonly FrameExtent[]): FrameRange<Gfn>[] {
  const runs: { start: Gfn; end: Gfn; frames: number }[] = [];
  for (const extent of extents) {
    if (!isReadOnlyAlone(extent)) continue;
    const { start, end } = extent;
    const last = runs.at(-1);
    if (last === undefined || start > last.end + WIDEST_GAP) runs.push({ start, end, frames: end - start });
    else {
      last.end = end;
      last.frames += end - start;
    }
  }
  return runs.filter(({ frames }) => frames >= FEWEST_FRAMES).map(({ start, end }) => ({ start, end }));
}

/** Lines of /proc/iomem, if they are known. */
interface TellsMemory {
  readonly iomem?: readonly string[] | undefined;
}

/** Whether the memory map reserves `extent` for a crash kernel. */
export function isReservedForCrash({ iomem = [] }: TellsMemory, { start, end }: FrameExtent): boolean {
  return iomem.some((line) => {
    const match = /^\s*([0-9a-f]{1,13})-([0-9a-f]{1,13}) : (.+?)\s*$/i.exec(line);
    const [, first, last, name] = match ?? [];
    return (
      name === CRASH_KERNEL && start >= Number(`0x${first}`) / 4096 && end <= (Number(`0x${last}`) + 1) / 4096
    );
  });
}

/** Whether there is a memory map: one that reserves nothing for a crash kernel contradicts it, and without one nothing does. */
export function tellsMemory({ iomem = [] }: TellsMemory): boolean {
  return iomem.length > 0;
}
