import {
  createFrameAllocator,
  createMemoryMap,
  createRam,
  type Gfn,
  gfn,
  type MemoryMap,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { type ProvenRoot, proveKernelRoot } from '@heki/vmcore';
import { CR4, createAddressSpace, EntryHigh, EntryLow, type PagingLevels, pagingRegisters } from '@heki/x86';

/** Where the parts of the small kernel lie. */
export const SMALL_KERNEL = {
  ramFrames: 0x4000,
  text: virtualAddress(0xffff_ffff_8100_0000n),
  textFrame: gfn(0x1000),
  rodata: virtualAddress(0xffff_ffff_8120_0000n),
  data: virtualAddress(0xffff_ffff_8140_0000n),
  dataFrame: gfn(0x1400),
} as const;

const P = EntryLow.P | EntryLow.A;
const RW = EntryLow.RW | EntryLow.D;
const XD = EntryHigh.XD;

/**
 * A kernel of 64 MiB as a picture of memory:
 *
 * ```
 * image       ffffffff81000000  text    2 MiB r-x   -> 16 MiB
 *             ffffffff81200000  rodata  2 MiB r--
 *             ffffffff81400000  data    2 MiB rw-
 * direct map  `directMap`       all 64 MiB rw-, but text and rodata r--
 * ```
 */
export function smallKernel(
  options: { readonly levels?: PagingLevels; readonly directMap?: VirtualAddress } = {},
): {
  readonly memory: PhysicalMemory<Gfn>;
  readonly memoryMap: MemoryMap<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
  readonly kernel: ProvenRoot;
  readonly registers: ReturnType<typeof pagingRegisters>;
} {
  const { levels = 4, directMap = virtualAddress(0xffff_8880_0000_0000n) } = options;
  const { ramFrames, text, textFrame } = SMALL_KERNEL;
  const memory = createRam({ ranges: [{ start: gfn(0), end: gfn(ramFrames) }] });
  const tables = createFrameAllocator({ ranges: [{ start: gfn(0x3000), end: gfn(ramFrames) }] });
  const space = createAddressSpace({ memory, tables, levels });
  const map = (start: number, frames: number, target: number, low: number, high: number): void => {
    space.map(start as VirtualFrame, (start + frames) as VirtualFrame, gfn(target), { low, high });
  };
  const image = virtualFrameOf(text);
  map(image, 512, textFrame, P, 0);
  map(image + 512, 512, textFrame + 512, P, XD);
  map(image + 1024, 512, textFrame + 1024, P | RW, XD);
  const direct = virtualFrameOf(directMap);
  map(direct, ramFrames, 0, P | RW, XD);
  map(direct + textFrame, 1024, textFrame, P, XD);
  return {
    memory,
    memoryMap: createMemoryMap([{ start: gfn(0), end: gfn(ramFrames), type: 'ram' }]),
    root: space.root,
    levels,
    kernel: proveKernelRoot({ memory, root: space.root, levels }),
    registers: pagingRegisters({
      cr3: BigInt(space.root) << 12n,
      cr4: CR4.PAE | CR4.PGE | CR4.SMEP | (levels === 5 ? CR4.LA57 : 0n),
    }),
  };
}
