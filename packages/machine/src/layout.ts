import {
  type AnyMount,
  createMountedMemory,
  createRam,
  FRAME_END,
  type FrameRange,
  type Gfn,
  type MemoryMap,
  PAGE_SIZE,
  type Pfn,
  type PhysicalMemory,
} from '@heki/physical-memory';
import { MachineError } from './error.ts';
import { MACHINE_LIMITS } from './limits.ts';

/** Frames of the first mebibyte. */
const LOW_FRAMES = 0x100;
/** Frames of 4 GiB: below lie the devices of a PC. */
const FOUR_GIB = 2 ** 20;
const MEBIBYTE_FRAMES = 0x100;

/** Host frames of the hypervisor's own tables: [1 MiB, 4 GiB). Guest memory lies above, with the same alignment. */
const HOST_TABLES: FrameRange<Pfn> = { start: 0x100 as Pfn, end: FOUR_GIB as Pfn };
const GUEST_IN_HOST = FOUR_GIB;

/**
 * The guest frames that are memory of the machine: the RAM of its map, and all of the first mebibyte, as on a PC,
 * where the VGA window and the option ROMs in it are memory, too (and Linux maps them in its direct map).
 */
export function machineMemory(memoryMap: MemoryMap<Gfn>): FrameRange<Gfn>[] {
  if (memoryMap.ramFrames === 0)
    throw new MachineError('the memory map has no RAM: expected an entry of type ram');
  const ranges: FrameRange<Gfn>[] = [{ start: 0 as Gfn, end: LOW_FRAMES as Gfn }];
  for (const { start, end, type } of memoryMap.entries) {
    if (type !== 'ram' || end <= LOW_FRAMES) continue;
    ranges.push({ start: Math.max(start, LOW_FRAMES) as Gfn, end });
  }
  return joined(ranges);
}

/** A slot of KVM's has at most 2^31 - 1 frames. Half of 2^31 keeps large pages whole. */
const MOST_SLOT_FRAMES = 2 ** 30;

/**
 * These ranges of memory as a VMM adds them to a virtual machine: none across a multiple of 4 TiB.
 *
 * @throws {MachineError} when they are more than a virtual machine has room for
 */
export function memorySlots(ranges: readonly FrameRange<Gfn>[]): FrameRange<Gfn>[] {
  const slots: FrameRange<Gfn>[] = [];
  for (const range of ranges) {
    for (let { start } = range; start < range.end; ) {
      const boundary = (Math.floor(start / MOST_SLOT_FRAMES) + 1) * MOST_SLOT_FRAMES;
      const end = Math.min(boundary, range.end) as Gfn;
      slots.push({ start, end });
      start = end;
    }
  }
  if (slots.length > MACHINE_LIMITS.memorySlots) {
    throw new MachineError(
      `the memory map has ${slots.length} separate ranges of RAM: expected at most ${MACHINE_LIMITS.memorySlots}, the slots that KVM has`,
    );
  }
  return slots;
}

/** The frames below `end` that lie in none of these ascending ranges. */
export function framesOutside(ranges: readonly FrameRange<Gfn>[], end: Gfn): FrameRange<Gfn>[] {
  const parts: FrameRange<Gfn>[] = [];
  let at = 0 as Gfn;
  for (const range of [...ranges, { start: end, end }]) {
    if (range.start > at) parts.push({ start: at, end: range.start });
    at = range.end;
  }
  return parts;
}

function joined(ranges: readonly FrameRange<Gfn>[]): FrameRange<Gfn>[] {
  const result: { start: Gfn; end: Gfn }[] = [];
  for (const { start, end } of ranges) {
    const last = result.at(-1);
    if (last !== undefined && last.end === start) last.end = end;
    else result.push({ start, end });
  }
  return result;
}

/**
 * Where `frames` frames of RAM can be added: the lowest mebibyte above the RAM and above 4 GiB that nothing in the map
 * occupies.
 *
 * @throws {MachineError} when there is none below `end`
 */
export function placeAddedMemory(
  memoryMap: MemoryMap<Gfn>,
  frames: number,
  end: number = FRAME_END,
): FrameRange<Gfn> {
  const aligned = (frame: number): number => Math.ceil(frame / MEBIBYTE_FRAMES) * MEBIBYTE_FRAMES;
  let start = aligned(Math.max(memoryMap.ramEnd, FOUR_GIB));
  for (const entry of memoryMap.entries) {
    if (entry.end > start && entry.start < start + frames) start = aligned(entry.end);
  }
  if (start + frames > end) {
    throw new MachineError(
      `no room for ${frames / MEBIBYTE_FRAMES} MiB of RAM at 0x${(start * PAGE_SIZE).toString(16)}, above the memory map: physical addresses end at 0x${(end * PAGE_SIZE).toString(16)}`,
    );
  }
  return { start: start as Gfn, end: (start + frames) as Gfn };
}

/** The host that a machine lives in. */
export interface HostLayout {
  /** Host-physical memory: tables of the hypervisor below, guest memory above. */
  readonly memory: PhysicalMemory<Pfn>;
  /** Frames for the hypervisor's tables. */
  readonly tables: FrameRange<Pfn>;
  /** The host frame behind a guest frame that is memory. */
  backing(frame: Gfn): Pfn;
}

/** Lays `regions` of guest memory into a host of their own. */
export function layOutHost(
  regions: readonly (FrameRange<Gfn> & { readonly memory: PhysicalMemory<Gfn> })[],
): HostLayout {
  const backing = (frame: Gfn): Pfn => (frame + GUEST_IN_HOST) as Pfn;
  const tables = createRam<Pfn>({ ranges: [HOST_TABLES] });
  const mounts: AnyMount<Pfn>[] = [
    {
      start: HOST_TABLES.start,
      frames: HOST_TABLES.end - HOST_TABLES.start,
      memory: tables,
      from: HOST_TABLES.start,
    },
    ...regions.map(({ start, end, memory }) => ({
      start: backing(start),
      frames: end - start,
      memory,
      from: start,
    })),
  ];
  return { memory: createMountedMemory<Pfn>({ mounts }), tables: HOST_TABLES, backing };
}
