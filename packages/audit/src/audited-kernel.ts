import {
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
  kernelTableFrames,
  type ProvenRoot,
  type Region,
  type RegionBases,
  regionAt,
} from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { AuditError } from './error.ts';
import { type FrameExtent, frameExtents } from './frame-extents.ts';
import type { Mapping } from './mapping.ts';
import { rightsOf } from './rights.ts';

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
}

/** What an audit looks at. */
export interface AuditSubject {
  readonly tables: ProvenRoot;
  readonly cpus: readonly CpuRegisters[];
  /** IA32_EFER, where it is known and not assumed. */
  readonly efer?: bigint | undefined;
  /** CR4 bits that the processor surely has, because somebody named it; without, a clear bit may be one that it lacks. */
  readonly supportedCr4?: bigint | undefined;
  /** Symbols of the kernel, as far as they are known. */
  readonly symbols?: ReadonlyMap<string, VirtualAddress>;
  /** Where the regions are that KASLR moves, as far as it is known. */
  readonly bases?: RegionBases;
  /** RAM by the guest's own account. */
  readonly memoryMap?: MemoryMap<Gfn>;
  /** Lines of /proc/iomem. */
  readonly iomem?: readonly string[];
}

/** A kernel's memory as every finding looks at it. */
export interface AuditedKernel extends AuditSubject {
  readonly sections: ImageSections;
  readonly regions: readonly Region[];
  /** Every leaf of the kernel's half, by virtual address; those of shared tables once. */
  readonly mappings: readonly Mapping[];
  /** The same by frame. */
  readonly extents: readonly FrameExtent[];
  /** Frames of the kernel's page tables. */
  readonly tableFrames: ReadonlySet<Gfn>;
  /** Tables that entries name and the dump lacks: what they map is not in here. */
  readonly absentTables: number;
}

/** Walks the kernel's half. @throws {AuditError} when its tables have no end */
export function readKernel(subject: AuditSubject): AuditedKernel {
  const { tables } = subject;
  const sections = imageSections(tables, subject);
  const regions = kernelRegions(tables, sections, subject.bases);
  const mappings: Mapping[] = [];
  const walked = walkMappings(
    { ...tables, budget: DUMP_LIMITS.tablePages },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    (leaf) => {
      const region = regionAt(regions, leaf.virtualFrame);
      mappings.push({ ...leaf, rights: rightsOf(leaf.effective), region });
    },
  );
  if (walked.stoppedAt !== undefined || walked.tablesAtSeveralLevels > 0) {
    throw new AuditError(
      walked.stoppedAt === undefined
        ? 'page-table pages of the kernel stand at more than one level: they lead to themselves'
        : `the kernel has more than ${DUMP_LIMITS.tablePages} page-table pages: they seem to lead to each other`,
    );
  }
  return {
    ...subject,
    sections,
    regions,
    mappings,
    extents: frameExtents(mappings),
    tableFrames: kernelTableFrames(tables, DUMP_LIMITS.tablePages),
    absentTables: walked.absentTables,
  };
}
