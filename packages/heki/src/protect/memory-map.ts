import {
  createMemoryMap,
  type FrameRange,
  type Gfn,
  hex,
  joinedRanges,
  type MemoryMap,
  PAGE_SIZE,
} from '@heki/physical-memory';
import {
  fitOfMemoryMap,
  type IomemMap,
  type LeftOut,
  loadedCrashKernel,
  type ProvenRoot,
} from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { bytesText } from '../quantity.ts';
import type { Warning } from '../warning.ts';
import { hiddenRam } from './hidden-ram.ts';

/** The memory map of the guest, and what is to be said of it. */
export interface SubjectMap {
  readonly memoryMap: MemoryMap<Gfn>;
  /** Where it comes from: a file's name, or `undefined` when it was inferred from the direct map. */
  readonly memoryMapFrom: string | undefined;
  /** Its lines, as /proc/iomem has them; `undefined` when it was inferred. */
  readonly iomem: readonly string[] | undefined;
  /** What that file names and does not count as RAM. */
  readonly leftOut: readonly LeftOut[];
  /** RAM reserved for a crash kernel, ascending; of a map that was inferred, where one is loaded. */
  readonly crashKernel: readonly FrameRange<Gfn>[];
  readonly warnings: readonly Warning[];
}

/** A map is taken for another guest's when more than this part of it, or of the direct map, is not in the other. */
const MOST_FOREIGN = 1 / 4;

/** A file that a memory map was read from. */
export interface MemoryMapFile {
  readonly path: string;
  /** For people. */
  readonly name: string;
}

/**
 * A memory map, held against the kernel's direct map: that is what the kernel takes for its memory.
 *
 * @throws {InputError} when it is not that of this guest
 */
export function subjectMapOf(map: IomemMap, { path, name }: MemoryMapFile, tables: ProvenRoot): SubjectMap {
  for (const [frame, what] of [
    [tables.root, "the kernel's page tables are"],
    [tables.text.frame, "the kernel's text is"],
  ] as const) {
    if (map.isRam(frame)) continue;
    throw new InputError(
      `the memory map has no RAM at ${hex(frame * PAGE_SIZE)}, where ${what}: is it the map of this guest?`,
      { file: path },
    );
  }
  const { unknown, unnamed } = fitOfMemoryMap(tables, map);
  const mapped = frames(tables.directMap.frames);
  const warnings: Warning[] = [];
  for (const { ranges, of, text } of [
    {
      ranges: unknown,
      of: map.ramFrames,
      text: `of its ${size(map.ramFrames)} of RAM, ${size(frames(unknown))} are not in the kernel's direct map`,
    },
    {
      ranges: unnamed,
      of: mapped,
      text: `of the ${size(mapped)} in the kernel's direct map, ${size(frames(unnamed))} are not in it`,
    },
  ]) {
    const [first] = ranges;
    if (first === undefined) continue;
    const misfit = `the memory map does not fit: ${text}, the first at ${hex(first.start * PAGE_SIZE)}`;
    if (frames(ranges) > of * MOST_FOREIGN)
      throw new InputError(`${misfit}: is it the map of this guest?`, { file: path });
    warnings.push({ id: 'memory-map', message: `${name}: ${misfit}` });
  }
  const { leftOut, crashKernel, lines } = map;
  return { memoryMap: map, memoryMapFrom: name, iomem: lines, leftOut, crashKernel, warnings };
}

/** What the kernel takes for its memory. */
export function inferMemoryMap(tables: ProvenRoot): SubjectMap {
  const ram = [...tables.directMap.frames, ...joinedRanges(hiddenRam(tables))];
  const memoryMap = createMemoryMap(ram.map((range) => ({ ...range, type: 'ram' as const })));
  return {
    memoryMap,
    memoryMapFrom: undefined,
    iomem: undefined,
    leftOut: [],
    crashKernel: loadedCrashKernel(tables),
    warnings: [],
  };
}

function frames(ranges: readonly FrameRange<Gfn>[]): number {
  return ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
}

function size(pages: number): string {
  return bytesText(pages * PAGE_SIZE);
}
