import type { VirtualRange } from '@heki/guest';
import {
  addressOf,
  FRAME_END,
  type Gfn,
  type MemoryMap,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { checkLevels, type PagingLevels } from '@heki/x86';
import { LinuxError } from '../error.ts';
import { createRandom, type Random } from '../random.ts';
import { imageSections, type KernelBuild } from './kernel-build.ts';

/** Where a kernel has put the parts of its address space (Documentation/arch/x86/x86_64/mm.rst). */
export interface AddressLayout {
  readonly levels: PagingLevels;
  /** `page_offset_base`: here guest frame 0 is mapped. */
  readonly directMap: VirtualFrame;
  readonly vmalloc: VirtualRange;
  /** `vmemmap_base`: the array of `struct page`. */
  readonly vmemmap: VirtualFrame;
  readonly modules: VirtualRange;
  /** `_text`. */
  readonly text: VirtualFrame;
  /** The frame that `_text` lies in: `_text` - `__START_KERNEL_map` + `phys_base`. */
  readonly textFrame: Gfn;
  /** Pages that module_alloc leaves free at the start of the module area, randomly, so that modules move with KASLR. */
  readonly moduleOffset: number;
}

/** What a layout depends on. */
export interface LayoutOptions {
  readonly levels: PagingLevels;
  readonly build: KernelBuild;
  readonly memoryMap: MemoryMap<Gfn>;
  /** Seed of KASLR. Without it the kernel runs as with `nokaslr`. */
  readonly kaslrSeed?: number | undefined;
}

/** Frames of a tebibyte, a gibibyte and 2 MiB. */
const TIB = 2 ** 28;
const GIB = 2 ** 18;
const HUGE = 2 ** 9;

/** CONFIG_PHYSICAL_START, 16 MiB; images go to multiples of CONFIG_PHYSICAL_ALIGN, 2 MiB, from there on. */
const PHYSICAL_START = 0x1000;
/** `__START_KERNEL_map`. */
const IMAGE_WINDOW = 0xf_ffff_fff8_0000;
/** `MODULES_END`. */
const MODULES_END = 0xf_ffff_ffff_f000;
/** CONFIG_RANDOMIZE_MEMORY_PHYSICAL_PADDING: tebibytes of direct map kept for memory to come. */
const PHYSICAL_PADDING = 10;
/** Pages that `get_module_load_offset` chooses from. */
const MODULE_OFFSETS = 1024;

/** `CPU_ENTRY_AREA_BASE`; random regions end here. */
export const CPU_ENTRY_AREA: VirtualFrame = 0xf_ffff_e000_0000 as VirtualFrame;
/** Where the fixed mappings of the first I/O APIC and of the local APIC lie in 6.1. */
export const FIXMAP: { readonly ioApic: VirtualFrame; readonly localApic: VirtualFrame } = {
  ioApic: 0xf_ffff_ffff_f5fc as VirtualFrame,
  localApic: 0xf_ffff_ffff_f5fd as VirtualFrame,
};

/** `ESPFIX_BASE_ADDR`. */
export const ESPFIX: VirtualFrame = 0xf_ffff_f000_0000 as VirtualFrame;

/** Bases and sizes without randomization. */
const REGIONS = {
  4: {
    directMap: 0xf_fff8_8800_0000,
    directMapFrames: 64 * TIB,
    vmalloc: 0xf_fffc_9000_0000,
    vmallocFrames: 32 * TIB,
    vmemmap: 0xf_fffe_a000_0000,
  },
  5: {
    directMap: 0xf_f110_0000_0000,
    directMapFrames: 32768 * TIB,
    vmalloc: 0xf_fa00_0000_0000,
    vmallocFrames: 12800 * TIB,
    vmemmap: 0xf_fd40_0000_0000,
  },
} as const;

/**
 * Lays out the address space of a kernel.
 *
 * @throws {LinuxError} when the memory has no room for the image, or the kernel was compiled without KASLR and
 * a seed is given
 * @throws {X86Error} unless `levels` is 4 or 5
 */
export function createLayout({ levels, build, memoryMap, kaslrSeed }: LayoutOptions): AddressLayout {
  checkLevels(levels);
  if (kaslrSeed !== undefined && !build.randomizeBase) {
    throw new LinuxError(`${build.name} was built without RANDOMIZE_BASE: it takes no seed`);
  }
  const random = kaslrSeed === undefined ? undefined : createRandom(kaslrSeed);
  const window = (build.randomizeBase ? 1 : 0.5) * GIB;
  const imageFrames = (imageSections(build).at(-1)?.end ?? 0) / 4096;
  if (imageFrames > window - PHYSICAL_START) {
    throw new LinuxError(
      `${build.name} takes ${imageFrames} pages: its window has ${window - PHYSICAL_START}`,
    );
  }
  const textFrame = placeInMemory(memoryMap, imageFrames, random);
  const slots = Math.floor((window - PHYSICAL_START - imageFrames) / HUGE) + 1;
  const text = IMAGE_WINDOW + PHYSICAL_START + (random?.below(slots) ?? 0) * HUGE;
  const { directMap, vmalloc, vmemmap } = placeRegions(levels, memoryMap.ramEnd, random);
  return {
    levels,
    directMap: directMap as VirtualFrame,
    vmalloc: {
      start: vmalloc as VirtualFrame,
      end: (vmalloc + REGIONS[levels].vmallocFrames) as VirtualFrame,
    },
    vmemmap: vmemmap as VirtualFrame,
    modules: { start: (IMAGE_WINDOW + window) as VirtualFrame, end: MODULES_END as VirtualFrame },
    text: text as VirtualFrame,
    textFrame,
    moduleOffset: random === undefined ? 0 : random.below(MODULE_OFFSETS) + 1,
  };
}

/** A place for the image: from 16 MiB on, in one stretch of RAM; which one of all places, `random` says. */
function placeInMemory(memoryMap: MemoryMap<Gfn>, frames: number, random: Random | undefined): Gfn {
  const places: { readonly first: number; readonly count: number }[] = [];
  for (const { start, end, type } of memoryMap.entries) {
    if (type !== 'ram') continue;
    const first = Math.ceil(Math.max(start, PHYSICAL_START) / HUGE) * HUGE;
    const count = Math.floor((end - frames - first) / HUGE) + 1;
    if (count > 0) places.push({ first, count });
  }
  const all = places.reduce((sum, { count }) => sum + count, 0);
  let chosen = random?.below(all) ?? 0;
  for (const { first, count } of places) {
    if (chosen < count && (random !== undefined || first === PHYSICAL_START)) {
      return (first + chosen * HUGE) as Gfn;
    }
    chosen -= count;
  }
  throw new LinuxError(
    `no room for an image of ${frames} pages${random === undefined ? ' at 16 MiB' : ''}: the memory map has ${memoryMap.ramFrames} pages of RAM`,
  );
}

/**
 * `kernel_randomize_memory`: the three regions in their order, each on a boundary of 1 GiB, with the address space that
 * is left over spread in front of them.
 */
function placeRegions(
  levels: PagingLevels,
  ramEnd: number,
  random: Random | undefined,
): { directMap: number; vmalloc: number; vmemmap: number } {
  const fixed = REGIONS[levels];
  if (random === undefined) return fixed;
  const memory = Math.min((Math.ceil(ramEnd / TIB) + PHYSICAL_PADDING) * TIB, fixed.directMapFrames);
  // An entry of vmemmap is 64 bytes, for 4,096 of memory.
  const sizes = [memory, fixed.vmallocFrames, Math.ceil(memory / 64 / TIB) * TIB];
  const starts: number[] = [];
  let at: number = fixed.directMap;
  let left = CPU_ENTRY_AREA - at - sizes.reduce((sum, size) => sum + size, 0);
  for (const [index, size] of sizes.entries()) {
    const share = Math.floor(left / (sizes.length - index));
    const moved = Math.floor(random.below(share + 1) / GIB) * GIB;
    at += moved;
    left -= moved;
    starts.push(at);
    // Regions never touch: the next one begins at least 1 GiB further on.
    at = (Math.floor((at + size) / GIB) + 1) * GIB;
  }
  const [directMap = 0, vmalloc = 0, vmemmap = 0] = starts;
  return { directMap, vmalloc, vmemmap };
}

/** @throws {LinuxError} when tables cannot express a layout given by a caller */
export function checkLayout(layout: AddressLayout): AddressLayout {
  const { text, textFrame, directMap, vmemmap, vmalloc, modules } = layout;
  for (const [name, frame, limit] of [
    ['_text', text, VIRTUAL_FRAME_END],
    ['the frame of _text', textFrame, FRAME_END],
    ['vmemmap', vmemmap, VIRTUAL_FRAME_END],
    ['the direct map', directMap, VIRTUAL_FRAME_END],
  ] as const) {
    if (!Number.isSafeInteger(frame) || frame < 0 || frame >= limit || frame % HUGE !== 0) {
      throw new LinuxError(`${name} at frame ${frame}: expected a multiple of 512 below ${limit}`);
    }
  }
  if (directMap % GIB !== 0)
    throw new LinuxError(`the direct map at frame ${directMap}: expected a multiple of ${GIB}`);
  if (vmalloc.start >= vmalloc.end || modules.start >= modules.end) {
    throw new LinuxError('the areas of vmalloc and of modules must not be empty');
  }
  return layout;
}

/** Where the direct map has a frame: `__va`. */
export function directAddress(layout: Pick<AddressLayout, 'directMap'>, frame: Gfn): VirtualAddress {
  return (virtualAddressOf(layout.directMap) + BigInt(addressOf(frame))) as VirtualAddress;
}
