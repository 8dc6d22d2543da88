import {
  createEpt,
  createEptEditor,
  EPT_RIGHTS,
  EptLow,
  encodeEptp,
  eptLeaf,
  eptRightsChange,
} from '@heki/ept';
import { HV_MAP_GPA_FULL_ACCESS } from '@heki/hypercall/hyperv';
import type { GuestRegions } from '@heki/hypervisor';
import { type EffectiveRights, type GuestMemoryRegion, type Host, HypervisorError } from '@heki/hypervisor';
import { createMemoryTable } from '@heki/memory-table';
import { FRAME_END, type Gfn, type Pfn } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import type { CpuProfile } from '@heki/x86';
import { eptRightsOf } from './map-flags.ts';

/** The bits of a leaf beside its rights: WB, accessed, dirty, IPAT. */
const LEAF = eptLeaf({ rights: EPT_RIGHTS, accessed: true, dirty: true, ignorePat: true });
/** 2 MiB. */
const LARGE = 512;

/** Frames with the same map flags. */
export interface Mask {
  readonly start: Gfn;
  readonly end: Gfn;
  readonly flags: number;
}

/** Guest memory as one VTL sees it: a second level of its own over the same frames. */
export interface VtlMemory {
  readonly root: number;
  /** Pages of its tables. */
  readonly tables: number;
  /** Map flags of pages without a mask of their own. */
  readonly defaultFlags: number;
  /** Whether the two rights to execute are kept apart. */
  readonly mbec: boolean;
  flagsOf(gfn: Gfn): number;
  /** Runs of frames with a mask of their own. */
  forEachMask(visit: (flags: number, start: Gfn, end: Gfn) => void): void;
  /** Gives frames of one region a mask. How many were done: fewer only when no table can be had. */
  protect(region: GuestMemoryRegion, start: Gfn, end: Gfn, flags: number): number;
  /**
   * Forgets all masks, takes `masks`, for frames that have memory and for others, and builds the tables again.
   *
   * @throws {HypervisorError} when there is no frame for a table
   */
  configure(defaultFlags: number, mbec: boolean, masks?: readonly Mask[]): void;
  /** @throws {HypervisorError} when there is no frame for a table */
  add(region: GuestMemoryRegion): void;
  drop(region: GuestMemoryRegion): void;
  effective(gfn: Gfn): EffectiveRights | undefined;
  /** The tables as one virtual processor uses them. */
  second(): SecondLevel<SecondLevelFault>;
}

export function createVtlMemory(
  host: Host,
  processor: CpuProfile,
  regions: GuestRegions,
  mbecAtStart: boolean,
): VtlMemory {
  const { memory, frames } = host;
  // No mask has execute without read, so that an entry is present exactly when it is readable, with MBEC and without.
  const editor = createEptEditor({ memory, frames, processor, modeBasedExecute: false });
  const eptp = encodeEptp({ root: editor.root, accessedDirty: processor.ept?.accessedDirty === true });
  const masks = createMemoryTable<number>();
  let defaultFlags = HV_MAP_GPA_FULL_ACCESS;
  let mbec = mbecAtStart;

  function isMapped(start: Gfn, end: Gfn): boolean {
    let next: number = start;
    editor.forEachLeaf(start, end, (gfn, level) => {
      if (gfn <= next) next = Math.max(next, gfn + 512 ** (level - 1));
    });
    return next >= end;
  }

  function map(region: GuestMemoryRegion, start: Gfn, end: Gfn, bits: { low: number; high: number }): Gfn {
    const target = (region.backing + (start - region.start)) as Pfn;
    const { largestLeaf = LARGE ** 2 } = region;
    if (largestLeaf > LARGE) return editor.map(start, end, target, bits).stoppedAt ?? end;
    for (let gfn = start; gfn < end; ) {
      const pfn = (target + (gfn - start)) as Pfn;
      const large = largestLeaf === LARGE && gfn % LARGE === 0 && pfn % LARGE === 0 && gfn + LARGE <= end;
      if (editor.installLeaf(gfn, large ? 2 : 1, pfn, bits).stoppedAt !== undefined) return gfn;
      gfn = (gfn + (large ? LARGE : 1)) as Gfn;
    }
    return end;
  }

  /** Brings the tables in line with `flags`. The first frame that could not be done. */
  function render(region: GuestMemoryRegion, start: Gfn, end: Gfn, flags: number): Gfn {
    const rights = eptRightsOf(flags, region.readOnly === true, mbec);
    if (rights === 0) return editor.unmap(start, end).stoppedAt ?? end;
    if (isMapped(start, end)) return editor.update(start, end, eptRightsChange(rights)).stoppedAt ?? end;
    return map(region, start, end, { low: (LEAF.low & ~EPT_RIGHTS) | rights, high: LEAF.high });
  }

  const vtl: VtlMemory = {
    root: editor.root,
    get tables() {
      return editor.tables;
    },
    get defaultFlags() {
      return defaultFlags;
    },
    get mbec() {
      return mbec;
    },
    flagsOf: (gfn) => masks.get(gfn) ?? defaultFlags,
    forEachMask(visit) {
      masks.forEach(0 as Gfn, FRAME_END as Gfn, (flags, start, end) => {
        if (flags !== undefined) visit(flags, start, end);
      });
    },
    protect(region, start, end, flags) {
      const stopped = render(region, start, end, flags);
      if (stopped > start) masks.set(start, stopped, flags);
      return stopped - start;
    },
    configure(flags, withMbec, wanted = []) {
      defaultFlags = flags;
      mbec = withMbec;
      masks.free();
      for (const mask of wanted) masks.set(mask.start, mask.end, mask.flags);
      for (const region of regions.all) vtl.add(region);
    },
    add(region) {
      const end = (region.start + region.frames) as Gfn;
      const runs: { flags: number; start: Gfn; end: Gfn }[] = [];
      // A protection belongs to a frame number: memory that comes again has what was asked for it.
      masks.forEach(region.start, end, (flags, from, to) =>
        runs.push({ flags: flags ?? defaultFlags, start: from, end: to }),
      );
      for (const run of runs) {
        if (render(region, run.start, run.end, run.flags) < run.end) {
          throw new HypervisorError('no host frame is left for tables of the partition');
        }
      }
    },
    drop(region) {
      editor.unmap(region.start, (region.start + region.frames) as Gfn);
    },
    effective(gfn) {
      if (regions.find(gfn) === undefined) return undefined;
      const low = editor.leaf(gfn)?.entry.low;
      const rights = low ?? 0;
      const supervisor = (rights & EptLow.X) !== 0;
      return {
        read: (rights & EptLow.R) !== 0,
        write: (rights & EptLow.W) !== 0,
        supervisorExecute: supervisor,
        userExecute: mbec ? (rights & EptLow.XU) !== 0 : supervisor,
        present: low !== undefined,
      };
    },
    second: () => createEpt({ memory, eptp, processor, controls: { modeBasedExecute: mbec } }),
  };
  return vtl;
}
