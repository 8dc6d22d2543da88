import { createEpt, createEptEditor, EPT_RIGHTS, encodeEptp, eptLeaf, eptRightsChange } from '@heki/ept';
import { XenAccess, type XenAccessType } from '@heki/hypercall/xen';
import {
  type AskedFrames,
  type AskedRights,
  type GuestMemoryRegion,
  type GuestRegions,
  type Host,
  type Rights,
  rightsUnderAllNames,
} from '@heki/hypervisor';
import { checkpointTable, createMemoryTable, digestTable } from '@heki/memory-table';
import type { Gfn, Pfn, StateDigest } from '@heki/physical-memory';
import type { SecondLevel, SecondLevelEditor } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import type { CpuProfile } from '@heki/x86';
import { accessOfRights, eptRightsOf, rightsOfAccess } from './access-rights.ts';

/** The bits of a leaf beside its rights: WB, accessed, dirty, IPAT. */
const LEAF_BITS = eptLeaf({ rights: EPT_RIGHTS, accessed: true, dirty: true, ignorePat: true });
/** 2 MiB. */
const LARGE = 512;

/** Frames with the same access type. */
export interface AccessRange {
  readonly start: Gfn;
  readonly end: Gfn;
  readonly access: XenAccessType;
}

/** One p2m of a domain: the host p2m, or a view of altp2m. Every table has its own EPT root. */
export interface View {
  readonly index: number;
  readonly editor: SecondLevelEditor;
  readonly root: number;
  /** What pages without an access type of their own have. */
  readonly defaultAccess: XenAccessType;
  accessOf(gfn: Gfn): XenAccessType;
  /** What its access type grants, and those of the other guest frames that are the same memory. */
  rightsOf(gfn: Gfn): Rights;
  /** Frames with an access type of their own. */
  forEachAccess(start: Gfn, end: Gfn, visit: (access: XenAccessType, start: Gfn, end: Gfn) => void): void;
  /**
   * Gives every frame of memory in the range an access type, page by page. How many were done: fewer than asked
   * for when no table can be had to split a large entry. Translations may be stale until a flush.
   */
  setAccess(start: Gfn, end: Gfn, access: XenAccessType): number;
  /** Changes what pages without an access type of their own have; the others keep theirs. Translations may be stale until a flush. */
  setDefault(access: XenAccessType): void;
  /**
   * Forgets all access types and takes `types`, for frames that have memory and for others. `false` when there is no frame for a table: then
   * some entries grant less than they should.
   */
  replace(defaultAccess: XenAccessType, types?: readonly AccessRange[]): boolean;
  /** Puts memory into the tables. `false` when there is no frame for a table. */
  populate(region: GuestMemoryRegion): boolean;
  /** Brings the entries of other guest frames that are the same memory as the range in line. */
  updateOtherNames(start: Gfn, end: Gfn): void;
  /** Copies the host's entry of `gfn` (a view starts empty, altp2m lazy copy). `false` when there is no frame for a table. */
  propagate(gfn: Gfn): boolean;
  /** Takes memory out of the tables. Access types stay, for memory that comes again. */
  drop(start: Gfn, end: Gfn): void;
  /** The tables as one virtual CPU uses them. */
  second(): SecondLevel<SecondLevelFault>;
  free(): void;
  /** What brings back the access types of now. The tables are host memory, which is its owner's to bring back. */
  checkpoint(): () => void;
  /** Tells `digest` the access types of now. */
  digest(digest: StateDigest): void;
}

/** An empty p2m over `host`'s memory. */
export function createView(options: {
  readonly index: number;
  readonly host: Host;
  readonly processor: CpuProfile;
  readonly regions: GuestRegions;
  readonly defaultAccess: XenAccessType;
}): View {
  const { index, host, processor, regions } = options;
  const { memory, frames } = host;
  // EPT without mode-based execute control: XU is never looked at, and is set with X so that it never lies.
  const editor = createEptEditor({ memory, frames, processor, modeBasedExecute: false });
  const eptp = encodeEptp({ root: editor.root, accessedDirty: processor.ept?.accessedDirty === true });
  const own = createMemoryTable<XenAccessType>();
  let defaultAccess = options.defaultAccess;

  const askedFor = (access: XenAccessType | undefined) =>
    access === undefined ? undefined : { rights: rightsOfAccess(access), immutable: false };

  function asked(start: Gfn, end: Gfn): readonly AskedFrames[] {
    const runs: AskedFrames[] = [];
    own.forEach(start, end, (access, from, to) => {
      const rights = askedFor(access);
      if (rights !== undefined) runs.push({ start: from, end: to, ...rights });
    });
    return runs;
  }

  /** The rights of a frame that has this access type of its own, or none, for whose bytes others were asked under other names. */
  function under(access: XenAccessType | undefined, others: readonly AskedRights[]): Rights {
    return rightsUnderAllNames(rightsOfAccess(access ?? defaultAccess), access !== undefined, others);
  }

  /**
   * Rewrites what is mapped in the range, inside one region, whose frames have one access type of their own, or none. The first frame that
   * could not be done.
   */
  function rewrite(region: GuestMemoryRegion, start: Gfn, end: Gfn, access: XenAccessType | undefined): Gfn {
    for (const run of regions.hostFrames.runs(start, end, asked)) {
      const type =
        run.others.length === 0 ? (access ?? defaultAccess) : accessOfRights(under(access, run.others));
      const stopped = rewriteAs(region, run.start, run.end, type);
      if (stopped < run.end) return stopped;
    }
    return end;
  }

  function rewriteAs(region: GuestMemoryRegion, start: Gfn, end: Gfn, access: XenAccessType): Gfn {
    const rights = eptRightsOf(access, region.readOnly === true);
    const target = (region.backing + (start - region.start)) as Pfn;
    const bits = { low: (LEAF_BITS.low & ~EPT_RIGHTS) | rights, high: LEAF_BITS.high };
    let edit: { readonly stoppedAt: Gfn | undefined };
    // An entry without rights is absent to the processor, so that the frame has to be looked up here instead.
    if (rights === 0) edit = editor.unmap(start, end);
    else if ((region.largestLeaf ?? Number.POSITIVE_INFINITY) <= LARGE)
      edit = fill(region, start, end, target, bits);
    else if (mapped(start, end)) edit = editor.update(start, end, eptRightsChange(rights));
    else edit = editor.map(start, end, target, bits);
    return edit.stoppedAt ?? end;
  }

  function mapped(start: Gfn, end: Gfn): boolean {
    let next: number = start;
    editor.forEachLeaf(start, end, (gfn, level) => {
      if (gfn <= next) next = Math.max(next, gfn + 512 ** (level - 1));
    });
    return next >= end;
  }

  /** Maps the range with leaves as large as the host's mapping allows, none of them merged with its neighbours. */
  function fill(
    region: GuestMemoryRegion,
    start: Gfn,
    end: Gfn,
    target: Pfn,
    bits: { readonly low: number; readonly high: number },
  ): { readonly stoppedAt: Gfn | undefined } {
    for (let gfn = start; gfn < end; ) {
      const pfn = (target + (gfn - start)) as Pfn;
      const large =
        region.largestLeaf === LARGE && gfn % LARGE === 0 && pfn % LARGE === 0 && gfn + LARGE <= end;
      const edit = editor.installLeaf(gfn, large ? 2 : 1, pfn, bits);
      if (edit.stoppedAt !== undefined) return { stoppedAt: gfn };
      gfn = (gfn + (large ? LARGE : 1)) as Gfn;
    }
    return { stoppedAt: undefined };
  }

  /** Makes the entries anew from the access types. `false` when there is no frame for a table. */
  function rebuild(): boolean {
    let done = true;
    for (const region of regions.all) {
      if (index === 0 && view.populate(region)) continue;
      // An entry that cannot be made is left out, as all of a view's are: it is looked up when it is used.
      editor.zap(region.start, (region.start + region.frames) as Gfn);
      done &&= index !== 0;
    }
    return done;
  }

  const view: View = {
    index,
    editor,
    root: editor.root,
    get defaultAccess() {
      return defaultAccess;
    },
    accessOf: (gfn) => own.get(gfn) ?? defaultAccess,
    rightsOf: (gfn) =>
      under(
        own.get(gfn),
        regions.hostFrames.othersOf(gfn, (name) => askedFor(own.get(name))),
      ),
    forEachAccess(start, end, visit) {
      own.forEach(start, end, (access, from, to) => {
        if (access !== undefined) visit(access, from, to);
      });
    },
    setAccess(start, end, access) {
      let done = 0;
      for (const { region, start: from, end: to } of regions.parts(start, end)) {
        const stopped = rewrite(region, from, to, access);
        if (stopped > from) own.set(from, stopped, access);
        done += stopped - from;
        if (stopped < to) break;
      }
      view.updateOtherNames(start, end);
      return done;
    },
    setDefault(access) {
      defaultAccess = access;
      rebuild();
    },
    replace(access, types = []) {
      defaultAccess = access;
      own.free();
      for (const range of types) own.set(range.start, range.end, range.access);
      return rebuild();
    },
    populate(region) {
      const { start, frames: count } = region;
      const end = (start + count) as Gfn;
      const runs: { access: XenAccessType | undefined; from: Gfn; to: Gfn }[] = [];
      own.forEach(start, end, (access, from, to) => runs.push({ access, from, to }));
      return runs.every(({ access, from, to }) => rewrite(region, from, to, access) === to);
    },
    updateOtherNames(start, end) {
      // What is not in the tables is looked up, and copied, when it is used.
      for (const alias of regions.hostFrames.aliases(start, end)) editor.zap(alias.start, alias.end);
    },
    propagate(gfn) {
      const region = regions.find(gfn);
      if (region === undefined) return true;
      const access = own.get(gfn);
      const base = (gfn - (gfn % LARGE)) as Gfn;
      const end = (base + LARGE) as Gfn;
      const whole =
        base >= region.start &&
        end <= region.start + region.frames &&
        own.every(base, end, (value) => (value ?? defaultAccess) === (access ?? defaultAccess));
      const [from, to] = whole ? [base, end] : [gfn, (gfn + 1) as Gfn];
      return rewrite(region, from, to, access) === to;
    },
    drop(start, end) {
      // Without a frame to split it, a leaf that straddles an end goes as a whole, and comes again when it is used.
      if (editor.unmap(start, end).stoppedAt !== undefined) editor.zap(start, end);
    },
    second: () => createEpt({ memory, eptp, processor }),
    free: () => editor.free(),
    checkpoint() {
      const kept = defaultAccess;
      const backs = [checkpointTable(own), editor.checkpoint()];
      return () => {
        defaultAccess = kept;
        for (const back of backs) back();
      };
    },
    digest(digest) {
      digest.word(index);
      digest.word(defaultAccess);
      digestTable(own, digest);
    },
  };
  return view;
}

/** What pages have that no request has restricted. */
export const FULL_ACCESS = XenAccess.RWX;
