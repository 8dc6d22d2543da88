import { HvMapGpa, HvStatus } from '@heki/hypercall/hyperv';
import {
  type Capabilities,
  grantableRights,
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
  sameRights,
  type Weakened,
} from '@heki/hypervisor';
import { createMemoryTable } from '@heki/memory-table';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { flagsOfRights, rightsOfFlags } from '../partition/map-flags.ts';
import type { Mask } from '../partition/vtl-memory.ts';
import type { Vtl1 } from './vtl1-port.ts';

/** Pages of one hypercall. */
const BATCH = 510;

/** Which pages VTL1 promised for what: the hypervisor knows no such thing. */
export interface MemoryPolicy {
  /** Why a range cannot be protected at all. */
  check(vtl1: Vtl1, range: ProtectionRange): Refusal | undefined;
  /** Ranges in order until the first that is refused; what came before it stays. */
  protect(vtl1: Vtl1, ranges: readonly ProtectionRange[]): ProtectionResult;
  /** The same for map flags of whole RAM pages, without a check; what cannot be withheld is granted. 0 or a status. */
  set(vtl1: Vtl1, start: Gfn, end: Gfn, flags: number): number;
  /** Whether all of the range is data as far as VTL1 gave it rights: what it made read-only or code is not room for other things. */
  isData(start: Gfn, end: Gfn): boolean;
  /** Marks frames as those of a module or an image, or frees them. */
  claim(start: Gfn, end: Gfn, claimed: boolean): void;
  /** Whether a frame of the range was marked. */
  isClaimed(start: Gfn, end: Gfn): boolean;
  clear(): void;
  /** What was given and what is claimed. */
  save(): SavedMemoryPolicy;
  replace(saved: SavedMemoryPolicy): void;
}

/** The account that VTL1 keeps of pages. */
export interface SavedMemoryPolicy {
  readonly given: readonly Mask[];
  readonly claims: readonly { readonly start: Gfn; readonly end: Gfn }[];
}

export function createMemoryPolicy(capabilities: Capabilities): MemoryPolicy {
  const claims = createMemoryTable<true>();
  /** The flags that each frame was given. */
  const given = createMemoryTable<number>();

  function set(vtl1: Vtl1, start: Gfn, end: Gfn, wanted: number): number {
    const flags = flagsOfRights(grantableRights(capabilities, rightsOfFlags(wanted)));
    for (const part of vtl1.ram(start, end)) {
      for (let gfn = part.start; gfn < part.end; gfn = (gfn + BATCH) as Gfn) {
        const { status } = vtl1.protect(gfn, Math.min(BATCH, part.end - gfn), flags);
        if (status !== HvStatus.SUCCESS) return status;
      }
      given.set(part.start, part.end, flags);
    }
    return HvStatus.SUCCESS;
  }

  function check(vtl1: Vtl1, { start, end, immutable }: ProtectionRange): Refusal | undefined {
    if (end <= start) return 'empty';
    if (!(start >= 0) || end > FRAME_END) return 'not-memory';
    // Holes inside are left out, because the kernel's direct map has them; memory must begin and end the range's part of the map.
    if (vtl1.ram(start, end).length === 0 || vtl1.ramEnd < end) return 'not-memory';
    return immutable === true ? 'unsupported' : undefined;
  }

  return {
    check,
    set,
    claim(start, end, claimed) {
      if (claimed) claims.set(start, end, true);
      else claims.clear(start, end);
    },
    isClaimed: (start, end) => claims.some(start, end, (value) => value === true),
    isData: (start, end) =>
      given.every(start, end, (flags) => flags === undefined || (flags & HvMapGpa.WRITABLE) !== 0),
    clear() {
      claims.free();
      given.free();
    },
    save() {
      const saved = { given: [] as Mask[], claims: [] as { start: Gfn; end: Gfn }[] };
      given.forEach(0 as Gfn, FRAME_END as Gfn, (flags, start, end) => {
        if (flags !== undefined) saved.given.push({ start, end, flags });
      });
      claims.forEach(0 as Gfn, FRAME_END as Gfn, (claimed, start, end) => {
        if (claimed === true) saved.claims.push({ start, end });
      });
      return saved;
    },
    replace(saved) {
      claims.free();
      given.free();
      for (const { start, end, flags } of saved.given) given.set(start, end, flags);
      for (const { start, end } of saved.claims) claims.set(start, end, true);
    },
    protect(vtl1, ranges) {
      const weakened: Weakened[] = [];
      for (const [at, range] of ranges.entries()) {
        let why = check(vtl1, range);
        if (why === undefined) {
          const granted = grantableRights(capabilities, range.rights);
          const status = set(vtl1, range.start, range.end, flagsOfRights(granted));
          if (status === HvStatus.INSUFFICIENT_MEMORY) why = 'no-memory';
          else if (status !== HvStatus.SUCCESS) why = 'bad-request';
          else if (!sameRights(granted, range.rights)) weakened.push({ range, granted });
        }
        if (why !== undefined) return { applied: at, weakened, refused: { at, why } };
      }
      return { applied: ranges.length, weakened };
    },
  };
}
