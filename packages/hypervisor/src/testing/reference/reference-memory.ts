import type { Gfn, Gpa, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import { type Capabilities, grantableRights } from '../../capabilities.ts';
import type { GuestMemoryRegion } from '../../host.ts';
import {
  type AskedFrames,
  createHostFrames,
  type HostFrames,
  rightsUnderAllNames,
} from '../../host-frames.ts';
import { type ProtectionRange, type Rights, sameRights } from '../../rights.ts';

/** Bits of an exit qualification that say that there is a linear address, and that it is the one that was translated. */
const LINEAR = 0x180;

/** What was asked for each frame: the last request counts. */
export interface ReferenceMemory {
  readonly regions: GuestMemoryRegion[];
  readonly hostFrames: HostFrames;
  /** What was asked for frames of a region, in order. */
  askedIn(region: GuestMemoryRegion): readonly AskedFrames[];
  regionOf(gfn: number): GuestMemoryRegion | undefined;
  rightsOf(gfn: number): Rights;
  isImmutable(start: number, end: number): boolean;
  add(range: ProtectionRange): void;
  /** Forgets all requests: everything is as `otherwise` says, until somebody asks. */
  clear(otherwise: Rights): void;
  /** What was asked for as ranges, in order. */
  ranges(): readonly ProtectionRange[];
  readonly otherwise: Rights;
  /** The second level of one virtual CPU. */
  view(): ReferenceView;
}

/** A second level that looks every access up. */
export interface ReferenceView extends SecondLevel<SecondLevelFault> {
  /** One access to this frame is let through, whatever its rights. */
  once: number | undefined;
  /** Nothing is withheld. */
  unbound: boolean;
}

type Asked = Required<Pick<ProtectionRange, 'rights' | 'immutable'>>;

export function createReferenceMemory(kept: Capabilities, everything: Rights): ReferenceMemory {
  const regions: GuestMemoryRegion[] = [];
  const hostFrames = createHostFrames();
  const asked = new Map<number, Asked>();
  let otherwise = everything;
  const isImmutable = (start: number, end: number): boolean => {
    for (let gfn = start; gfn < end; gfn++) if (asked.get(gfn)?.immutable === true) return true;
    return false;
  };

  const memory: ReferenceMemory = {
    regions,
    hostFrames,
    get otherwise() {
      return otherwise;
    },
    regionOf: (gfn) => regions.find(({ start, frames }) => gfn >= start && gfn < start + frames),
    rightsOf(gfn) {
      const own = asked.get(gfn);
      const others = hostFrames.othersOf(gfn as Gfn, (name) => asked.get(name));
      return rightsUnderAllNames(own?.rights ?? otherwise, own !== undefined, others);
    },
    isImmutable: (start, end) => isImmutable(start, end) || hostFrames.isImmutable(start, end, isImmutable),
    askedIn({ start, frames }) {
      const runs: AskedFrames[] = [];
      for (let gfn: number = start; gfn < start + frames; gfn++) {
        const own = asked.get(gfn);
        if (own !== undefined) runs.push({ ...own, start: gfn as Gfn, end: (gfn + 1) as Gfn });
      }
      return runs;
    },
    add({ start, end, rights, immutable = false }) {
      if (asked.size === 0 && sameRights(otherwise, everything)) otherwise = kept.unrequested;
      const own = { rights: grantableRights(kept, rights), immutable };
      for (let gfn: number = start; gfn < end; gfn++) asked.set(gfn, own);
    },
    clear(rights) {
      asked.clear();
      otherwise = rights;
    },
    ranges() {
      const ranges: ProtectionRange[] = [];
      for (const [gfn, own] of [...asked].sort(([a], [b]) => a - b)) {
        const last = ranges.at(-1);
        const end = (gfn + 1) as Gfn;
        if (last?.end === gfn && last.immutable === own.immutable && sameRights(last.rights, own.rights)) {
          ranges[ranges.length - 1] = { ...last, end };
        } else ranges.push({ start: gfn as Gfn, end, ...own });
      }
      return ranges;
    },
    view: () => createView(memory),
  };
  return memory;
}

function createView(memory: ReferenceMemory): ReferenceView {
  const { READ, WRITE, FETCH, PAGING_STRUCTURE, USER_PAGE } = SecondLevelAccess;
  const view = {
    once: undefined as number | undefined,
    unbound: false,
    fault: undefined as SecondLevelFault | undefined,
    level: 1,
    rights: 0,
    translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
      const wants = (bit: number): boolean => (access & bit) !== 0;
      const region = memory.regionOf(gfn);
      const { read, supervisorExecute, userExecute, ...rights } = memory.rightsOf(gfn);
      const write = rights.write && region?.readOnly !== true;
      const execute = wants(USER_PAGE) ? userExecute : supervisorExecute;
      const allowed =
        view.unbound || ((read || !wants(READ)) && (write || !wants(WRITE)) && (execute || !wants(FETCH)));
      const once = !allowed && view.once === gfn && !wants(PAGING_STRUCTURE);
      if (region === undefined || !(allowed || once)) {
        const qualification = (access & 7) | LINEAR;
        view.fault = { kind: 'ept-violation', qualification, gpa: (gfn * 4096 + offset) as Gpa };
        return REFUSED;
      }
      if (once) view.once = undefined;
      view.rights = once || view.unbound ? 0 : cached({ read, write, supervisorExecute, userExecute });
      return (region.backing + (gfn - region.start)) as Pfn;
    },
  };
  return view;
}

function cached({ read, write, supervisorExecute, userExecute }: Rights): number {
  const grants = SecondLevelRights;
  return (
    (read ? grants.READ | grants.READ_PAGING_STRUCTURE : 0) |
    (write ? grants.WRITE | grants.WRITE_PAGING_STRUCTURE : 0) |
    (supervisorExecute ? grants.FETCH_SUPERVISOR : 0) |
    (userExecute ? grants.FETCH_SUPERVISOR_FROM_USER_PAGE | grants.FETCH_USER : 0)
  );
}
