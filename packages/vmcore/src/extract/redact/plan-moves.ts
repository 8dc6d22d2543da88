import { type Gfn, type PhysicalMemory, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import {
  addressHigh,
  entryFrame,
  framesOfLevel,
  type Level,
  type PagingLevels,
  walkMappings,
} from '@heki/x86';
import { CannotMove, type Move } from './move.ts';

/** The kernel's own tables, and where they map all memory. */
export interface KernelToRedact {
  readonly memory: PhysicalMemory<Gfn>;
  readonly root: Gfn;
  readonly levels: PagingLevels;
  /** The C-bit, where memory encryption is on. */
  readonly encryptionBit?: number | undefined;
  readonly directMap: { readonly start: VirtualFrame; readonly end: VirtualFrame };
}

/** Virtual frames; `end` is exclusive. */
interface Range {
  readonly start: number;
  readonly end: number;
}

const GIB = 2 ** 18;
/** `__START_KERNEL_map`; the image takes 1 GiB at most, then come modules and, at -16 MiB, the fixmap. */
const IMAGE_AREA = { start: VIRTUAL_FRAME_END - 2 * GIB, end: VIRTUAL_FRAME_END - GIB };
export const MODULES_AREA: Range = { start: IMAGE_AREA.end, end: VIRTUAL_FRAME_END - 2 ** 12 };
/** `__START_KERNEL_map` + CONFIG_PHYSICAL_START: where the image is mapped without KASLR. */
const IMAGE_START = IMAGE_AREA.start + 2 ** 12;
/** CPU_ENTRY_AREA_BASE and its 512 GiB. */
export const ENTRY_AREA: Range = {
  start: VIRTUAL_FRAME_END - 2 ** 29,
  end: VIRTUAL_FRAME_END - 2 ** 29 + 2 ** 27,
};
/** ESPFIX_BASE_ADDR and its 512 GiB: aliases of a stack that is in a random one of 128 windows of 4 GiB. */
export const ESPFIX_AREA: Range = {
  start: VIRTUAL_FRAME_END - 2 ** 28,
  end: VIRTUAL_FRAME_END - 2 ** 28 + 2 ** 27,
};
/** Wider than any gap within a CPU's entry area (guard pages, unused exception stacks). */
const ENTRY_AREA_GAP = 16;

/**
 * Slots of the root (the same numbers with 4 and 5 levels) in which RANDOMIZE_MEMORY has its three regions, direct map, vmalloc and
 * vmemmap (arch/x86/mm/kaslr.c). As published, Heki takes slots 273 to 400 for the direct map, wherever that is.
 */
const PUBLISHED_START = 273;
const PUBLISHED_END = 401;
const REGIONS_END: Readonly<Record<PagingLevels, number>> = { 4: 508, 5: 511 };
/** The first slots that regions are moved to, so that one stays on its side of the published direct map's end. */
const FIRST_SLOT = { below: 288, above: 416 } as const;

/** Where everything goes that KASLR placed, so that its place tells nothing; what it did not place goes where it is. */
export interface MovePlan {
  readonly direct: Move;
  readonly image: Move | undefined;
  readonly others: readonly Move[];
}

/** @throws {CannotMove} when the address space has no room for it */
export function planMoves(kernel: KernelToRedact): MovePlan {
  const [direct, regions] = planRegions(kernel);
  return {
    direct,
    image: planImage(kernel),
    others: [...regions, ...planModules(kernel), ...planEntryAreas(kernel), ...planEspfix(kernel)],
  };
}

/** Whether RANDOMIZE_MEMORY was in force. */
function hasRandomRegions({ directMap, levels }: KernelToRedact): boolean {
  return directMap.start !== slotStart(PUBLISHED_START, levels);
}

/**
 * The direct map, and what else lies between it and the CPUs' entry areas: each stretch to the start of a slot. KASLR moves
 * regions by multiples of 1 GiB.
 */
function planRegions(kernel: KernelToRedact): [direct: Move, others: readonly Move[]] {
  const { levels, directMap } = kernel;
  if (directMap.start % GIB !== 0) throw new CannotMove('the direct map does not begin where KASLR puts it');
  const direct: Range = { start: directMap.start, end: Math.ceil(directMap.end / GIB) * GIB };
  if (!hasRandomRegions(kernel)) return [{ ...direct, to: direct.start }, []];
  const stretches: Range[] = [direct];
  for (const { start, end } of stretchesOf(occupiedGibs(kernel), levels)) {
    if (start < direct.end && end > direct.start) {
      if (start < direct.start) stretches.push({ start, end: direct.start });
      if (end > direct.end) stretches.push({ start: direct.end, end });
    } else stretches.push({ start, end });
  }
  const next = { ...FIRST_SLOT } as { below: number; above: number };
  const border = slotStart(PUBLISHED_END, levels);
  const moves = stretches
    .sort((a, b) => a.start - b.start)
    .map(({ start, end }) => {
      const side = start < border ? 'below' : 'above';
      const slot = next[side];
      // A stretch that fills its last slot must not touch the next one.
      next[side] = slot + Math.floor((end - start) / framesOfLevel(levels)) + 1;
      if (next[side] > (side === 'below' ? PUBLISHED_END : REGIONS_END[levels])) {
        throw new CannotMove('the kernel maps more than the address space has room for');
      }
      return { start, end, to: slotStart(slot, levels) };
    });
  const isDirect = ({ start }: Move) => start === direct.start;
  return [moves.find(isDirect) ?? { ...direct, to: direct.start }, moves.filter((move) => !isDirect(move))];
}

/** Every GiB, by its start, with an entry in it between the regions' first slot and their last, ascending. */
function occupiedGibs({ memory, root, levels, encryptionBit }: KernelToRedact): number[] {
  const addressBits = addressHigh(encryptionBit);
  const gibs: number[] = [];
  const look = (table: Gfn, level: Level, base: number, firstSlot: number, endSlot: number): void => {
    const page = memory.page(table);
    for (let slot = firstSlot; page !== undefined && slot < endSlot; slot++) {
      const low = page[2 * slot] ?? 0;
      const high = page[2 * slot + 1] ?? 0;
      if (low === 0 && high === 0) continue;
      const start = base + slot * framesOfLevel(level);
      if (level === 3) gibs.push(start);
      else look(entryFrame(low, high, addressBits), (level - 1) as Level, start, 0, 512);
    }
  };
  look(root, levels, slotStart(0, levels), PUBLISHED_START, REGIONS_END[levels]);
  return gibs;
}

/** GiBs in a row are a stretch, but for those on different sides of the border. */
function stretchesOf(gibs: readonly number[], levels: PagingLevels): Range[] {
  const border = slotStart(PUBLISHED_END, levels);
  const stretches: { start: number; end: number }[] = [];
  for (const start of gibs) {
    const last = stretches.at(-1);
    if (last !== undefined && start === last.end && start !== border) last.end = start + GIB;
    else stretches.push({ start, end: start + GIB });
  }
  return stretches;
}

/** The image, which KASLR moves by multiples of 2 MiB. */
function planImage(kernel: KernelToRedact): Move | undefined {
  const image = mappedRange(kernel, IMAGE_AREA);
  if (image === undefined) return undefined;
  const start = image.start - (image.start % 512);
  // Early in boot more is mapped, from the start of the area on.
  return { start, end: image.end, to: Math.min(start, IMAGE_START) };
}

/** Modules, whose area begins with a gap of up to 4 MiB under KASLR (get_module_load_offset): one page of it is kept. */
function planModules(kernel: KernelToRedact): Move[] {
  const modules = mappedRange(kernel, MODULES_AREA);
  if (modules === undefined) return [];
  const gap = modules.start - MODULES_AREA.start - 1;
  const distance = modules.large ? gap - (gap % 512) : gap;
  return distance <= 0 ? [] : [{ start: modules.start, end: modules.end, to: modules.start - distance }];
}

/** The CPUs' entry areas, which KASLR strews over their 512 GiB (init_cea_offsets): every gap between them shrinks. */
function planEntryAreas(kernel: KernelToRedact): Move[] {
  const moves: { start: number; end: number; readonly to: number }[] = [];
  let distance = 0;
  let end = ENTRY_AREA.start;
  walkMappings(
    kernel,
    ENTRY_AREA.start as VirtualFrame,
    ENTRY_AREA.end as VirtualFrame,
    ({ virtualFrame, frames }) => {
      const gap = virtualFrame - end;
      if (gap > ENTRY_AREA_GAP) {
        distance += gap - ENTRY_AREA_GAP;
        moves.push({ start: virtualFrame, end: virtualFrame, to: virtualFrame - distance });
      }
      end = virtualFrame + frames;
      const last = moves.at(-1);
      if (last !== undefined) last.end = end;
    },
  );
  return moves;
}

/** The aliases of the stacks for 16-bit code, which a random number places (espfix_base_addr): to the start of their area. */
function planEspfix(kernel: KernelToRedact): Move[] {
  const aliases = mappedRange(kernel, ESPFIX_AREA);
  if (aliases === undefined) return [];
  const start = aliases.start - (aliases.start % GIB);
  return [{ start, end: Math.ceil(aliases.end / GIB) * GIB, to: ESPFIX_AREA.start }];
}

/** The first to the last mapping in an area, and whether a leaf in it is larger than a page. */
function mappedRange(kernel: KernelToRedact, area: Range): (Range & { readonly large: boolean }) | undefined {
  let start = area.end;
  let end = area.start;
  let large = false;
  const add = (at: number, frames: number): void => {
    start = Math.min(start, at);
    end = Math.max(end, at + frames);
  };
  walkMappings(
    // What was visited elsewhere stands here, too.
    { ...kernel, onShared: ({ virtualFrame, frames }) => add(virtualFrame, frames) },
    area.start as VirtualFrame,
    area.end as VirtualFrame,
    ({ virtualFrame, frames, level }) => {
      add(virtualFrame, frames);
      large ||= level > 1;
    },
  );
  return start < end ? { start, end, large } : undefined;
}

function slotStart(slot: number, levels: PagingLevels): number {
  return VIRTUAL_FRAME_END - (512 - slot) * framesOfLevel(levels);
}
