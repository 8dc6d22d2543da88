import {
  createMemoryMap,
  type FrameRange,
  type Gfn,
  joinedRanges,
  type MemoryMap,
  type MemoryMapEntry,
  type MemoryType,
  PAGE_SIZE,
  PHYSICAL_ADDRESS_END,
} from '@heki/physical-memory';
import { VmcoreError } from './error.ts';
import { DUMP_LIMITS } from './limits.ts';
import { type Range, without } from './range.ts';

/** What Linux calls the e820 types other than RAM in /proc/iomem (arch/x86/kernel/e820.c). */
const TYPES: ReadonlyMap<string, MemoryType> = new Map([
  ['Reserved', 'reserved'],
  ['reserved', 'reserved'],
  ['Soft Reserved', 'reserved'],
  ['ACPI Tables', 'acpi'],
  ['ACPI Non-volatile Storage', 'nvs'],
  ['Unusable memory', 'unusable'],
  ['Persistent Memory', 'persistent'],
  ['Persistent Memory (legacy)', 'persistent'],
]);

/**
 * RAM by any of its names: memory that a driver plugged in is `System RAM (kmem)`, `System RAM (virtio_mem)` and so on
 * (Linux, add_memory_driver_managed), and stands under the device that it comes from.
 */
const RAM = /^System RAM(?: \(.+\))?$/;

/** What Linux calls both parts of the region for a crash kernel (kernel/crash_core.c). */
export const CRASH_KERNEL = 'Crash kernel';

/** Whether a line of /proc/iomem with this name tells of memory, by the firmware's name for it, a driver's or Linux's. */
export function namesMemory(name: string): boolean {
  return RAM.test(name) || TYPES.has(name) || name === CRASH_KERNEL;
}

/** RAM that fills no page, or lies beyond 52 bits. */
const PARTS_OF_RAM = 'parts of pages of System RAM';

/** What a map names and does not count as RAM. */
export interface LeftOut {
  /** As in /proc/iomem, of what nothing else contains; or `PARTS_OF_RAM`. */
  readonly name: string;
  readonly bytes: number;
  /** It is memory, and not what a device decodes. */
  readonly isMemory: boolean;
}

/** The memory map of a running Linux. */
export interface IomemMap extends MemoryMap<Gfn> {
  /** By name, in the order of the map. */
  readonly leftOut: readonly LeftOut[];
  /** RAM reserved for a crash kernel (crashkernel=), by whole pages and ascending; whether one is loaded the map does not tell. */
  readonly crashKernel: readonly FrameRange<Gfn>[];
  /** The lines it was read from. */
  readonly lines: readonly string[];
}

/** A line of /proc/iomem. */
interface Resource extends Range {
  readonly name: string;
  readonly isRam: boolean;
  /** Nothing else contains it. */
  readonly outermost: boolean;
  /** Its type, if it has one and nothing that contains it has. */
  readonly type: MemoryType | undefined;
  /** It has a type, or something that contains it has. */
  readonly isTyped: boolean;
}

/**
 * The memory map in the text of Linux's /proc/iomem. What stands in what is told by the addresses, not by the indentation.
 * RAM is RAM at any depth and whatever stands in it; it counts by whole pages, as Linux counts it. Other memory
 * counts by every page that it touches; devices are left out.
 *
 * @throws {VmcoreError} with the line that is not of /proc/iomem, or when the addresses are hidden
 */
export function parseIomem(text: string): IomemMap {
  const resources = readResources(text);
  const ram = joinedRanges(resources.filter(({ isRam }) => isRam));
  const ramFrames = ram.map(wholePages).filter(isAddressable);
  const crashKernel = joinedRanges(resources.filter(({ name }) => name === CRASH_KERNEL))
    .map(wholePages)
    .filter(isAddressable)
    .map(({ start, end }) => ({ start: start as Gfn, end: end as Gfn }));
  let before = 0;
  const otherFrames = resources.flatMap(({ start, end, type }) => {
    if (type === undefined) return [];
    const frames = {
      start: Math.max(before, Math.floor(start / PAGE_SIZE)),
      end: Math.ceil(end / PAGE_SIZE),
      type,
    };
    if (!isAddressable(frames)) return [];
    before = frames.end;
    return [frames];
  });
  const entries = ramFrames.map(({ start, end }) => entryOf(start, end, 'ram'));
  for (const { start, end, type } of without(otherFrames, ramFrames)) entries.push(entryOf(start, end, type));
  return {
    ...createMemoryMap(entries),
    leftOut: leftOutOf(resources, ram, ramFrames),
    crashKernel,
    lines: text.split('\n').filter((line) => line.trim() !== ''),
  };
}

function entryOf(start: number, end: number, type: MemoryType): MemoryMapEntry<Gfn> {
  return { start: start as Gfn, end: end as Gfn, type };
}

function readResources(text: string): Resource[] {
  const resources: Resource[] = [];
  /** The lines that contain the latest one, and that itself. */
  const around: Resource[] = [];
  let hidden = true;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const match = /^\s*([0-9a-f]{1,16})-([0-9a-f]{1,16}) : (.+?)\s*$/i.exec(line);
    if (match === null) {
      throw new VmcoreError(
        `line ${index + 1} of the memory map is ${JSON.stringify(line.slice(0, 80))}: expected "START-END : NAME"`,
      );
    }
    const [, first = '', last = '', name = ''] = match;
    if (name.length > DUMP_LIMITS.nameCharacters) {
      throw new VmcoreError(
        `line ${index + 1} of the memory map has a name of ${name.length} characters: expected at most ${DUMP_LIMITS.nameCharacters}`,
      );
    }
    const start = Number.parseInt(first, 16);
    const end = Number.parseInt(last, 16) + 1;
    if (end <= start) {
      throw new VmcoreError(`line ${index + 1} of the memory map ends before it starts: ${line.trim()}`);
    }
    if (end > 1) hidden = false;
    while ((around.at(-1)?.end ?? Number.POSITIVE_INFINITY) <= start) around.pop();
    const outer = around.at(-1);
    if (start < (resources.at(-1)?.start ?? 0) || end > (outer?.end ?? Number.POSITIVE_INFINITY)) {
      throw new VmcoreError(
        `line ${index + 1} of the memory map overlaps or precedes the line above: ${line.trim()}`,
      );
    }
    const isInTyped = outer?.isTyped === true;
    const type = isInTyped ? undefined : TYPES.get(name);
    const isTyped = isInTyped || type !== undefined;
    const resource = {
      start,
      end,
      name,
      isRam: RAM.test(name),
      type,
      isTyped,
      outermost: outer === undefined,
    };
    resources.push(resource);
    around.push(resource);
  }
  if (resources.length === 0) throw new VmcoreError('the memory map is empty: expected lines of /proc/iomem');
  if (hidden) throw new VmcoreError('the memory map has no addresses: /proc/iomem shows them to root alone');
  return resources;
}

function leftOutOf(
  resources: readonly Resource[],
  ram: readonly Range[],
  ramFrames: readonly Range[],
): LeftOut[] {
  const sizes = new Map<string, number>();
  const add = (name: string, bytes: number): void => {
    if (bytes > 0) sizes.set(name, (sizes.get(name) ?? 0) + bytes);
  };
  const others = resources.filter(({ isRam, outermost }) => outermost && !isRam);
  for (const { name, start, end } of without(others, ram)) add(name, end - start);
  const size = (ranges: readonly Range[]) => ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
  add(PARTS_OF_RAM, size(ram) - size(ramFrames) * PAGE_SIZE);
  return [...sizes].map(([name, bytes]) => ({
    name,
    bytes,
    isMemory: TYPES.has(name) || name === PARTS_OF_RAM,
  }));
}

function wholePages({ start, end }: Range): Range {
  return { start: Math.ceil(start / PAGE_SIZE), end: Math.floor(end / PAGE_SIZE) };
}

function isAddressable({ start, end }: Range): boolean {
  return start < end && end * PAGE_SIZE <= PHYSICAL_ADDRESS_END;
}
