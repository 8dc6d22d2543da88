import {
  createFrameAllocator,
  createRam,
  type Gfn,
  gfn,
  type Ram,
  type VirtualFrame,
} from '@heki/physical-memory';
import { createAddressSpace, EntryHigh, EntryLow, type LeafLevel, type PagingLevels } from '@heki/x86';

const TEXT = { low: EntryLow.P | EntryLow.A, high: 0 };
const DATA = { low: EntryLow.P | EntryLow.A | EntryLow.RW | EntryLow.D, high: EntryHigh.XD };
const USER_TEXT = { low: TEXT.low | EntryLow.US, high: 0 };

/** `__START_KERNEL_map`, and how far the image lies above. */
const IMAGE = 2 ** 52 - 2 ** 19 + 0x1000;
const TEXT_FRAMES = 0x200;

/** What a test wants of a kernel. */
export interface KernelPlan {
  readonly levels: PagingLevels;
  readonly ramFrames: number;
  /** Where RAM begins: a crash kernel has what its predecessor set aside. Default 0. */
  readonly ramStart?: number;
  /** The GiB in which the direct map begins, counted from the start of the kernel's half. */
  readonly directMapGib: number;
  readonly largestLeaf: LeafLevel;
  /** Where the image lies in RAM, in units of 2 MiB. */
  readonly textAt: number;
  /** Frames of single pages that vmalloc maps, by their place. */
  readonly vmalloc: readonly number[];
}

/** A kernel with leaves of 2 MiB, where Linux has everything without KASLR but the direct map. */
export const PLAN = {
  levels: 4,
  ramFrames: 0x3000,
  directMapGib: 0x2200,
  largestLeaf: 2,
  textAt: 8,
  vmalloc: [],
} as const satisfies KernelPlan;

/** Page tables as Linux lays them, with all the roots that a CPU may stand on. */
export interface BuiltKernel {
  readonly memory: Ram<Gfn>;
  readonly levels: PagingLevels;
  readonly directMap: VirtualFrame;
  readonly text: VirtualFrame;
  readonly textFrame: Gfn;
  /** Roots with everything of the kernel in their upper half. */
  readonly kernelRoots: { readonly swapper: Gfn; readonly process: Gfn; readonly efi: Gfn };
  /** Roots that CPUs stand on at times, and that are not the kernel's. */
  readonly otherRoots: {
    readonly user: Gfn;
    readonly trampoline: Gfn;
    readonly guest: Gfn;
    readonly empty: Gfn;
  };
  /** Frames from here on hold the tables. */
  readonly tablesFrom: Gfn;
  readonly ramFrames: number;
}

/**
 * A kernel as a picture of memory:
 *
 * ```
 * direct map   all of RAM rw-
 * vmalloc      single pages, 2 TiB above
 * image        text 2 MiB r-x, data 2 MiB rw-
 * user         the user half of page-table isolation: a program, entry text, one page of the direct map for each CPU
 * trampoline   the image alone, as real mode enters it (before Linux 5.17)
 * guest        the tables by which a hypervisor in this kernel shows memory to a guest: its direct map is elsewhere in memory
 * efi          the kernel's half, and memory mapped as it lies in the lower half
 * ```
 */
export function buildKernel(plan: KernelPlan): BuiltKernel {
  const { levels, ramFrames, largestLeaf, ramStart = 0 } = plan;
  const ramEnd = gfn(ramStart + ramFrames);
  const half = levels === 4 ? 2 ** 35 : 2 ** 44;
  const directMap = 2 ** 52 - half + plan.directMapGib * 2 ** 18;
  const tablesFrom = gfn(ramEnd - 0x600);
  const memory = createRam<Gfn>({ ranges: [{ start: gfn(ramStart), end: ramEnd }] });
  const tables = createFrameAllocator<Gfn>({ ranges: [{ start: tablesFrom, end: ramEnd }] });
  // A page for each root and one for the user half beside it, as under page-table isolation.
  const pairOfRoots = (): Gfn => tables.allocateContiguous(2, 2) ?? gfn(0);
  const edit = (root: Gfn) => {
    const space = createAddressSpace({ memory, tables, levels, root, largestLeaf });
    return (at: number, frames: number, target: number, bits: typeof TEXT) =>
      void space.map(at as VirtualFrame, (at + frames) as VirtualFrame, gfn(target), bits);
  };
  const [swapper, process, efi] = [pairOfRoots(), pairOfRoots(), pairOfRoots()];
  const [trampoline, guest, empty] = [pairOfRoots(), pairOfRoots(), pairOfRoots()];
  const user = gfn(process + 1);

  const textFrame = gfn(ramStart + plan.textAt * 0x200);
  const kernel = edit(swapper);
  kernel(directMap + ramStart, ramFrames, ramStart, DATA);
  kernel(IMAGE, TEXT_FRAMES, textFrame, TEXT);
  kernel(IMAGE + TEXT_FRAMES, TEXT_FRAMES, textFrame + TEXT_FRAMES, DATA);
  for (const [index, frame] of plan.vmalloc.entries())
    kernel(directMap + 2 ** 29 + 2 * index, 1, frame, DATA);
  for (const root of [process, efi]) {
    const from = memory.page(swapper);
    const to = memory.writablePage(root);
    for (let word = 512; word < 1024; word++)
      if (from !== undefined && to !== undefined) to[word] = from[word] ?? 0;
  }

  const program = edit(process);
  program(0x400, 4, 0x10, USER_TEXT);
  const shared = edit(user);
  shared(0x400, 4, 0x10, USER_TEXT);
  shared(IMAGE, TEXT_FRAMES, textFrame, TEXT);
  for (const cpu of [0, 1]) shared(directMap + 0x20 + cpu, 1, 0x20 + cpu, DATA);
  edit(trampoline)(IMAGE, 2 * TEXT_FRAMES, textFrame, TEXT);
  edit(efi)(0, Math.min(ramFrames, 0x800), 0, DATA);
  const shadow = edit(guest);
  shadow(directMap, 0x400, 0x800, DATA);
  shadow(IMAGE, TEXT_FRAMES, 0xa00, TEXT);
  return {
    memory,
    levels,
    directMap: directMap as VirtualFrame,
    text: IMAGE as VirtualFrame,
    textFrame,
    kernelRoots: { swapper, process, efi },
    otherRoots: { user, trampoline, guest, empty },
    tablesFrom,
    ramFrames,
  };
}
