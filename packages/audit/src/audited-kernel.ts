import type { ImageComparison } from '@heki/patch-sites';
import {
  type FrameRange,
  type Gfn,
  type MemoryMap,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import {
  type ImageSections,
  imageSections,
  kernelRegions,
  type ProvenRoot,
  type Region,
  type RegionBases,
  type RegionName,
  userTableFrames,
  type VirtualRange,
} from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { type MappingLeaf, type SharedTable, upperHalfStart, walkMappings } from '@heki/x86';
import { AuditError } from './error.ts';
import { type FrameExtent, frameExtents } from './frame-extents.ts';
import { kernelTablePages, type LinkedTable } from './kernel-table-pages.ts';
import { loadedCrashKernel } from './loaded-crash-kernel.ts';
import type { Mapping } from './mapping.ts';
import { rightsOf } from './rights.ts';
import { cpuRoots } from './root-tables.ts';
import { withoutKernelsOwn } from './shared-tables.ts';
import { vmemmapBase } from './vmemmap-base.ts';

/** Control registers of one CPU. */
export interface CpuRegisters {
  /** Its number in the dump. */
  readonly cpu: number;
  readonly cr0: bigint;
  readonly cr4: bigint;
  /** Where its page tables are, whose kernel half is compared with that of `tables`. */
  readonly cr3?: bigint | undefined;
  /** Base of the interrupt descriptor table, where the dump tells it. */
  readonly idt?: VirtualAddress | undefined;
  /** Base of the global descriptor table, and of the task state segment that TR names. */
  readonly gdt?: VirtualAddress | undefined;
  readonly tss?: VirtualAddress | undefined;
  /** The local descriptor table, where LDTR names one. */
  readonly ldt?: { readonly base: VirtualAddress; readonly limit: number } | undefined;
}

/** What vmalloc gave out in one piece. */
export interface ListedArea extends VirtualRange {
  /** Whether the loader of modules asked for it. */
  readonly isModule: boolean;
  /** The frames of its pages, in their order, where vmalloc keeps a list of them; `undefined` where that leads astray. */
  readonly frames?: readonly (Gfn | undefined)[] | undefined;
}

/** What the kernel's own lists say of the code among its modules. */
export interface ListedCode {
  /** Of modules, eBPF, ftrace and kprobes. */
  readonly ranges: readonly VirtualRange[];
  /** Of them those of eBPF: programs, and what vmalloc gave out for some; `undefined` where they are not told apart. */
  readonly bpf?: readonly VirtualRange[] | undefined;
  /** What vmalloc gave out, ascending. */
  readonly areas: readonly ListedArea[];
  /** Lists that lead astray before they come back to their heads, by name: what they had behind is in neither of the others. */
  readonly brokenLists?: readonly string[];
}

/** What an audit looks at. */
export interface AuditSubject {
  readonly tables: ProvenRoot;
  readonly cpus: readonly CpuRegisters[];
  /** IA32_EFER, where it is known and not assumed. */
  readonly efer?: bigint | undefined;
  /** CR4 bits that the processor surely has, because somebody named it; without, a clear bit may be one that it lacks. */
  readonly supportedCr4?: bigint | undefined;
  /** The processor, which somebody named, speculates past U/S: page-table isolation is for it. */
  readonly meltdown?: boolean | undefined;
  /** Symbols of the kernel, as far as they are known. */
  readonly symbols?: ReadonlyMap<string, VirtualAddress>;
  /** Where the regions are that KASLR moves, as far as it is known. */
  readonly bases?: RegionBases;
  /** RAM by the guest's own account. */
  readonly memoryMap?: MemoryMap<Gfn>;
  /** Lines of /proc/iomem. */
  readonly iomem?: readonly string[];
  /** The page by which a guest of Hyper-V calls it, told by its contents before these were left out. */
  readonly hypercallPage?: Gfn | undefined;
  /** How its code and constants differ from the image that they were made of, where there is one to compare with. */
  readonly contents?: ImageComparison | undefined;
  /** Where code among the modules may be, where the dump has the kernel's lists. */
  readonly listedCode?: ListedCode | undefined;
  /** `vfs_read+0x10`; asked of few addresses only. */
  readonly symbolAt?: ((address: VirtualAddress) => string | undefined) | undefined;
}

/** A kernel's memory as every finding looks at it. */
export interface AuditedKernel extends AuditSubject {
  readonly sections: ImageSections;
  readonly regions: readonly Region[];
  /** Every leaf of the kernel's half, ascending by virtual address; those of KASAN's and espfix's shared tables once. */
  readonly mappings: readonly Mapping[];
  /** The same by frame. */
  readonly extents: readonly FrameExtent[];
  /** Frames of the kernel's page tables. */
  readonly tableFrames: ReadonlySet<Gfn>;
  /** Frames of the page tables of programs on whose address spaces CPUs stand, their roots among them. */
  readonly programTableFrames: ReadonlySet<Gfn>;
  /** Tables that entries name and the dump lacks: what they map is not in here. */
  readonly absentTables: number;
  /** Entries that lead to a table which stands elsewhere, too, as none of Linux's do. */
  readonly linkedTables: readonly LinkedTable[];
  /** What is read-only in the direct map alone and large: a crash kernel that kexec has loaded. */
  readonly crashKernel: readonly FrameRange<Gfn>[];
}

/** Tables that are read once more at places where they should not stand. */
const MOST_LINKED_TABLES = 4096;
/** Places that are told; KASAN has some thousand. */
const MOST_PLACES = 2 ** 16;

/** Walks the kernel's half. @throws {AuditError} when its tables have no end */
export function readKernel(subject: AuditSubject): AuditedKernel {
  const { tables } = subject;
  const sections = imageSections(tables, subject);
  const mappings: Mapping[] = [];
  let regions = kernelRegions(tables, sections, subject.bases);
  const shared: SharedTable[] = [];
  let regionOf = regionFinder(regions);
  const add = (leaf: MappingLeaf): void => {
    const { virtualFrame, guestFrame, frames, level, low, high, effective, places } = leaf;
    const rights = rightsOf(effective);
    const region = regionOf(virtualFrame);
    mappings.push({ virtualFrame, guestFrame, frames, level, low, high, effective, places, rights, region });
  };
  const onShared = (place: SharedTable): void => {
    if (shared.length < MOST_PLACES) shared.push(place);
  };
  const walked = walkMappings(
    { ...tables, budget: DUMP_LIMITS.tablePages, onShared },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    add,
  );
  if (walked.stoppedAt !== undefined) {
    throw new AuditError(
      `the kernel has more than ${DUMP_LIMITS.tablePages} page-table pages: they seem to lead to each other`,
    );
  }
  const vmemmap = vmemmapBase(mappings);
  if (vmemmap !== undefined) {
    regions = kernelRegions(tables, sections, { ...subject.bases, vmemmap });
    regionOf = regionFinder(regions);
    for (const [index, mapping] of mappings.entries()) {
      if (mapping.region === 'vmalloc or vmemmap')
        mappings[index] = { ...mapping, region: regionOf(mapping.virtualFrame) };
    }
  }
  const passedOver = withoutKernelsOwn(tables, regions, shared);
  let budget = MOST_LINKED_TABLES;
  for (const { virtualFrame, frames } of passedOver) {
    const end = (virtualFrame + frames) as VirtualFrame;
    budget -= walkMappings({ ...tables, sharedTables: 'each', budget }, virtualFrame, end, add).tables;
    if (budget <= 0) break;
  }
  if (passedOver.length > 0) mappings.sort((a, b) => a.virtualFrame - b.virtualFrame);
  const pages = kernelTablePages(tables, DUMP_LIMITS.tablePages);
  const extents = frameExtents(mappings);
  return {
    ...subject,
    sections,
    regions,
    mappings,
    extents,
    tableFrames: pages.frames,
    programTableFrames: programTables(subject),
    absentTables: walked.absentTables,
    linkedTables: withoutKernelsOwn(tables, regions, pages.linked),
    crashKernel: loadedCrashKernel(extents),
  };
}

function programTables(subject: AuditSubject): ReadonlySet<Gfn> {
  const frames = new Set<Gfn>();
  for (const root of [subject.tables.root, ...cpuRoots(subject).own.map((other) => other.root)]) {
    for (const frame of userTableFrames({ ...subject.tables, root }, DUMP_LIMITS.tablePages))
      frames.add(frame);
  }
  return frames;
}

/** `regionAt` for addresses that mostly ascend. */
function regionFinder(regions: readonly Region[]): (at: VirtualFrame) => RegionName {
  let current = regions[0];
  return (at) => {
    if (current === undefined || at < current.start || at >= current.end) {
      current = regions.find(({ start, end }) => at >= start && at < end);
    }
    return current?.name ?? 'hole';
  };
}
