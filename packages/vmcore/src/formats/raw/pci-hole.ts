import { frameOf, type Gfn, type Gpa, PAGE_SIZE } from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';
import type { ByteSource } from '../../byte-source.ts';
import { without } from '../../range.ts';
import { type ProvenRoot, prove } from '../../root/proven-root.ts';
import { readVmcoreinfo } from '../../vmcoreinfo.ts';
import type { DumpContents } from '../dump-format.ts';
import type { ElfSegment } from '../elf/segment.ts';
import { createSegmentMemory } from '../elf/segment-memory.ts';
import type { ImageSearch } from './search-image.ts';

/** RAM that has no room below the PCI hole goes on here. */
const HIGH_START = 2 ** 32;
/**
 * Where virtual machines end RAM below: QEMU's q35 at 2 GiB, its pc, VMware and cloud-hypervisor at 3, Firecracker at 3.25, VirtualBox at
 * 3.5, Xen at 3.75.
 */
const LOWEST_END = 2 ** 31;
const LOW_END_STEP = 2 ** 28;
/** Roots that are tried for each of these. */
const MOST_ROOTS = 64;
/** Pages to keep while they are. */
const CACHE_PAGES = 4096;
/** Of a kernel's direct map, the part that may lie outside memory: single entries may be damaged. */
const MOST_OUTSIDE = 1 / 64;

/** How the bytes of an image lie in memory. */
interface Layout {
  readonly segments: readonly ElfSegment[];
  /** The frames with the structure of a root table, in this layout. */
  readonly rootLikePages: readonly Gfn[];
  readonly lowEnd: number;
}

/**
 * Where the bytes of an image belong that is all RAM of a virtual machine, without the hole below 4 GiB that is for devices.
 * The direct map of its kernel tells: it has all RAM, at the addresses that it has. `undefined` when the image has no such hole left
 * out, or no kernel in it says so.
 *
 * @param plain the image with every byte at its own offset
 */
export function segmentsAroundHole(
  plain: DumpContents,
  search: ImageSearch,
  source: ByteSource,
): Layout | undefined {
  const { size } = source;
  if (size <= LOWEST_END || isLaidOut(plain, search.rootLikePages)) return undefined;
  for (let lowEnd = LOWEST_END; lowEnd < Math.min(size, HIGH_START); lowEnd += LOW_END_STEP) {
    const above = HIGH_START - lowEnd;
    const segments: ElfSegment[] = [
      { start: 0 as Gpa, end: lowEnd as Gpa, fileOffset: 0 },
      { start: HIGH_START as Gpa, end: (size + above) as Gpa, fileOffset: lowEnd },
    ];
    const rootLikePages = search.rootLikePages.map((frame) =>
      frame * PAGE_SIZE < lowEnd ? frame : ((frame + above / PAGE_SIZE) as Gfn),
    );
    const contents = {
      memory: createSegmentMemory(source, segments, CACHE_PAGES),
      segments,
      notes: plain.notes,
    };
    if (isLaidOut(contents, rootLikePages)) return { segments, rootLikePages, lowEnd };
  }
  return undefined;
}

/** Whether there is a kernel in it whose direct map is of memory that it has. */
function isLaidOut(
  contents: Pick<DumpContents, 'memory' | 'segments' | 'notes'>,
  rootLikePages: readonly Gfn[],
): boolean {
  const told = readVmcoreinfo(contents.notes)?.swapperPgDir;
  const roots = [...(told === undefined ? [] : [frameOf(told)]), ...rootLikePages.slice(0, MOST_ROOTS)];
  const held = contents.segments.map(({ start, end }) => ({
    start: Math.ceil(start / PAGE_SIZE),
    end: Math.floor(end / PAGE_SIZE),
  }));
  for (const root of roots) {
    for (const levels of [4, 5] satisfies PagingLevels[]) {
      const proven = prove({ memory: contents.memory, root, levels }, ORIGIN);
      if (typeof proven === 'string') continue;
      const { frames } = proven.directMap;
      if (sum(without(frames, held)) <= sum(frames) * MOST_OUTSIDE) return true;
    }
  }
  return false;
}

const ORIGIN: ProvenRoot['origin'] = {
  kind: 'structure',
  name: 'a root in an image',
  cpu: undefined,
  isCr3: false,
  refused: [],
};

function sum(ranges: readonly { readonly start: number; readonly end: number }[]): number {
  return ranges.reduce((total, { start, end }) => total + (end - start), 0);
}
