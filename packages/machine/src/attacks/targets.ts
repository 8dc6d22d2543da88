import {
  type Gfn,
  type PhysicalMemory,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import type { ProvenRoot } from '@heki/vmcore';
import { type MappingLeaf, PageRights, walkMappings } from '@heki/x86';

/** What the attacks are aimed at. Absent is what the snapshot does not have. */
export interface KernelTargets {
  /** Where physical address 0 is mapped. */
  readonly directMap: VirtualAddress | undefined;
  /** Code of the kernel image. */
  readonly text: VirtualAddress | undefined;
  /** The same byte in the direct map. */
  readonly textAlias: VirtualAddress | undefined;
  /** Data of the kernel image. */
  readonly data: VirtualAddress | undefined;
  /** What else is known by name: for attacks on one variable or function. */
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
}

/** `__START_KERNEL_map`, and 1 GiB from there: the most that the image can take (KERNEL_IMAGE_SIZE). */
const IMAGE_START = (VIRTUAL_FRAME_END - 2 ** 19) as VirtualFrame;
const IMAGE_END = (VIRTUAL_FRAME_END - 2 ** 18) as VirtualFrame;

/** Symbols that mark code, in the order of preference: the first byte of the image's text. */
const TEXT_SYMBOLS = ['_stext', '_text'];
/** Symbols that mark data: the host's name and kernel version, then the start of the data section. */
const DATA_SYMBOLS = ['init_uts_ns', '_sdata'];

const isExecutable = ({ effective }: MappingLeaf): boolean => (effective & PageRights.EXECUTE_DISABLE) === 0;
const isWritable = ({ effective }: MappingLeaf): boolean => (effective & PageRights.WRITE) !== 0;

/**
 * Chooses targets by the symbols that are known, and without them by the mappings of the kernel image: its first
 * executable page is code, its last writable mapping is data (.bss and .brk come last in the image).
 */
export function findTargets(
  kernel: ProvenRoot,
  symbols: ReadonlyMap<string, VirtualAddress> = new Map(),
): KernelTargets {
  const leaves: MappingLeaf[] = [];
  walkMappings(kernel, IMAGE_START, IMAGE_END, (leaf) => leaves.push({ ...leaf }));

  const leafAt = (va: VirtualAddress): MappingLeaf | undefined => {
    const frame = virtualFrameOf(va);
    return leaves.find(({ virtualFrame, frames }) => frame >= virtualFrame && frame < virtualFrame + frames);
  };
  const bySymbol = (names: readonly string[], fits: (leaf: MappingLeaf) => boolean) =>
    names
      .map((name) => symbols.get(name))
      .find((va) => {
        const leaf = va === undefined ? undefined : leafAt(va);
        return leaf !== undefined && fits(leaf);
      });

  const firstExecutable = leaves.find(isExecutable);
  const text =
    bySymbol(TEXT_SYMBOLS, isExecutable) ??
    (firstExecutable === undefined ? undefined : virtualAddressOf(firstExecutable.virtualFrame));
  const lastWritable = leaves.findLast(isWritable);
  const data =
    bySymbol(DATA_SYMBOLS, isWritable) ??
    (lastWritable === undefined ? undefined : virtualAddressOf(harmlessPage(lastWritable, kernel.memory)));

  return {
    directMap: virtualAddressOf(kernel.directMap.start),
    text,
    textAlias: text === undefined ? undefined : aliasOf(kernel, text, leafAt(text)),
    data,
    symbols,
  };
}

/** The address of the byte at `va` in the direct map, if it is mapped there. */
function aliasOf(
  kernel: ProvenRoot,
  va: VirtualAddress,
  leaf: MappingLeaf | undefined,
): VirtualAddress | undefined {
  if (leaf === undefined) return undefined;
  const frame = leaf.guestFrame + (virtualFrameOf(va) - leaf.virtualFrame);
  if (!kernel.directMap.frames.some(({ start, end }) => frame >= start && frame < end)) return undefined;
  const alias = (kernel.directMap.start + frame) as VirtualFrame;
  return (virtualAddressOf(alias) + (va % 4096n)) as VirtualAddress;
}

/** A page of `leaf` that is in the snapshot may be a page table (often nothing else is there): one that is not is safer to store to. */
function harmlessPage(leaf: MappingLeaf, memory: PhysicalMemory<Gfn>): VirtualFrame {
  for (let index = 0; index < leaf.frames; index++) {
    if (memory.page((leaf.guestFrame + index) as Gfn) === undefined) {
      return (leaf.virtualFrame + index) as VirtualFrame;
    }
  }
  return leaf.virtualFrame;
}
