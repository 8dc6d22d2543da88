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
import {
  type AskedFrames,
  type AskedRights,
  type EffectiveRights,
  type GuestMemoryRegion,
  type GuestRegions,
  type Host,
  type HostFrames,
  HypervisorError,
  type Rights,
  rightsUnderAllNames,
} from '@heki/hypervisor';
import { checkpointTable, createMemoryTable, digestTable } from '@heki/memory-table';
import { FRAME_END, type Gfn, type Pfn, type StateDigest } from '@heki/physical-memory';
import type { SecondLevel } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import type { CpuProfile } from '@heki/x86';
import { eptRightsOf, flagsOfRights, rightsOfFlags } from './map-flags.ts';

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
  /** What the mask of a frame grants, and those of the other guest frames that are the same memory. */
  rightsOf(gfn: Gfn): Rights;
  /** What masks say of frames of `start` .. `end` - 1, in order. */
  asked(start: Gfn, end: Gfn): readonly AskedFrames[];
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
  /** What brings back the masks of now. The tables are host memory, which is its owner's to bring back. */
  checkpoint(): () => void;
  /** Tells `digest` the masks of now. */
  digest(digest: StateDigest): void;
}

export function createVtlMemory(options: {
  readonly host: Host;
  readonly processor: CpuProfile;
  readonly regions: GuestRegions;
  /** Which frames are the same memory, as far as this VTL's rights go. */
  readonly hostFrames: HostFrames;
  /** Whether the two rights to execute are kept apart at first. */
  readonly mbec: boolean;
}): VtlMemory {
  const { processor, regions, hostFrames } = options;
  const { memory, frames } = options.host;
  // No mask has execute without read, so that an entry is present exactly when it is readable, with MBEC and without.
  const editor = createEptEditor({ memory, frames, processor, modeBasedExecute: false });
  const eptp = encodeEptp({ root: editor.root, accessedDirty: processor.ept?.accessedDirty === true });
  const masks = createMemoryTable<number>();
  let defaultFlags = HV_MAP_GPA_FULL_ACCESS;
  let { mbec } = options;

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

  const askedFor = (flags: number | undefined): AskedRights | undefined =>
    flags === undefined ? undefined : { rights: rightsOfFlags(flags), immutable: false };

  /** The rights of a frame that has this mask, or none, for whose bytes others were asked under other names. */
  function under(flags: number | undefined, others: readonly AskedRights[]): Rights {
    return rightsUnderAllNames(rightsOfFlags(flags ?? defaultFlags), flags !== undefined, others);
  }

  /** Runs of frames, with their masks. */
  function runsIn(start: Gfn, end: Gfn): readonly { flags: number | undefined; start: Gfn; end: Gfn }[] {
    const runs: { flags: number | undefined; start: Gfn; end: Gfn }[] = [];
    masks.forEach(start, end, (flags, from, to) => runs.push({ flags, start: from, end: to }));
    return runs;
  }

  /** Brings the tables in line with a mask, or with none. The first frame that could not be done. */
  function render(region: GuestMemoryRegion, start: Gfn, end: Gfn, flags: number | undefined): Gfn {
    for (const run of hostFrames.runs(start, end, vtl.asked)) {
      const granted =
        run.others.length === 0 ? (flags ?? defaultFlags) : flagsOfRights(under(flags, run.others));
      const stopped = renderAs(region, run.start, run.end, granted);
      if (stopped < run.end) return stopped;
    }
    return end;
  }

  /** The same for other guest frames that are the memory of the range. Whether all could be done; the others have no entry then. */
  function renderOtherNames(start: Gfn, end: Gfn): boolean {
    let done = true;
    for (const alias of hostFrames.aliases(start, end)) {
      for (const part of regions.parts(alias.start, alias.end)) {
        for (const run of runsIn(part.start, part.end)) {
          if (render(part.region, run.start, run.end, run.flags) === run.end) continue;
          editor.zap(run.start, run.end);
          done = false;
        }
      }
    }
    return done;
  }

  function renderAs(region: GuestMemoryRegion, start: Gfn, end: Gfn, flags: number): Gfn {
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
    rightsOf: (gfn) =>
      under(
        masks.get(gfn),
        hostFrames.othersOf(gfn, (name) => askedFor(masks.get(name))),
      ),
    asked(start, end) {
      const asked: AskedFrames[] = [];
      masks.forEach(start, end, (flags, from, to) => {
        if (flags !== undefined)
          asked.push({ start: from, end: to, rights: rightsOfFlags(flags), immutable: false });
      });
      return asked;
    },
    forEachMask(visit) {
      masks.forEach(0 as Gfn, FRAME_END as Gfn, (flags, start, end) => {
        if (flags !== undefined) visit(flags, start, end);
      });
    },
    protect(region, start, end, flags) {
      const stopped = render(region, start, end, flags);
      if (stopped > start) masks.set(start, stopped, flags);
      return renderOtherNames(start, stopped) ? stopped - start : 0;
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
      // A protection belongs to a frame number: memory that comes again has what was asked for it.
      for (const run of runsIn(region.start, end)) {
        if (render(region, run.start, run.end, run.flags) < run.end) {
          throw new HypervisorError('no host frame is left for tables of the partition');
        }
      }
      if (!renderOtherNames(region.start, end)) {
        throw new HypervisorError('no host frame is left for tables of the partition');
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
    checkpoint() {
      const kept = { defaultFlags, mbec };
      const backs = [checkpointTable(masks), editor.checkpoint()];
      return () => {
        ({ defaultFlags, mbec } = kept);
        for (const back of backs) back();
      };
    },
    digest(digest) {
      digest.word(defaultFlags);
      digest.word(mbec ? 1 : 0);
      digestTable(masks, digest);
    },
  };
  return vtl;
}
