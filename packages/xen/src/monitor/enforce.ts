import { XenError } from '@heki/hypercall/xen';
import {
  type Capabilities,
  grantableRights,
  type ProtectionRange,
  type ProtectionResult,
  type Refusal,
  sameRights,
  type Weakened,
} from '@heki/hypervisor';
import { checkpointTable, createMemoryTable, digestTable } from '@heki/memory-table';
import { FRAME_END, type Gfn, type StateDigest } from '@heki/physical-memory';
import { type DomainState, setAccess, yieldAt } from '../domain-state.ts';
import { accessOfRights } from '../p2m/access-rights.ts';

/** What the monitor enforces of memory. That a page is immutable is the monitor's own rule: Xen would change it. */
export interface MemoryPolicy {
  /**
   * Ranges in order, until the first that is refused; what came before it stays. What is immutable is so for the guest: the monitor itself
   * takes that back with what it asks for.
   */
  protect(ranges: readonly ProtectionRange[], by: 'guest' | 'policy-owner'): ProtectionResult;
  /** Runs of frames in the range, with whether they are immutable. */
  forEachRun(start: Gfn, end: Gfn, visit: (immutable: boolean, start: Gfn, end: Gfn) => void): void;
  /** Makes these frames immutable, and no others. */
  replace(frames: readonly { readonly start: Gfn; readonly end: Gfn }[]): void;
  /** What brings back what is immutable now. */
  checkpoint(): () => void;
  /** Tells `digest` what is immutable. */
  digest(digest: StateDigest): void;
}

export function createMemoryPolicy(domain: DomainState, capabilities: Capabilities): MemoryPolicy {
  const immutable = createMemoryTable<true>();

  const isMarked = (start: Gfn, end: Gfn): boolean => immutable.some(start, end, (value) => value === true);

  function isImmutable(start: Gfn, end: Gfn): boolean {
    return isMarked(start, end) || domain.regions.hostFrames.isImmutable(start, end, isMarked);
  }

  function refusal({ start, end }: ProtectionRange, byGuest: boolean): Refusal | undefined {
    if (end <= start) return 'empty';
    if (!(start >= 0) || end > FRAME_END || end > domain.regions.end) return 'not-memory';
    if (!domain.regions.overlaps(start, end)) return 'not-memory';
    return byGuest && isImmutable(start, end) ? 'immutable' : undefined;
  }

  return {
    forEachRun: (start, end, visit) =>
      immutable.forEach(start, end, (value, from, to) => visit(value === true, from, to)),
    replace(frames) {
      immutable.free();
      for (const { start, end } of frames) immutable.set(start, end, true);
    },
    checkpoint: () => checkpointTable(immutable),
    digest: (digest) => digestTable(immutable, digest),
    protect(ranges, by) {
      const weakened: Weakened[] = [];
      for (const [at, range] of ranges.entries()) {
        yieldAt(domain, 'attribute-change');
        let why = refusal(range, by === 'guest');
        if (why === undefined) {
          const granted = grantableRights(capabilities, range.rights);
          const { error } = setAccess(
            domain,
            domain.p2m.host,
            range.start,
            range.end,
            accessOfRights(granted),
          );
          if (error === -XenError.ENOMEM) why = 'no-memory';
          else if (error !== 0) why = 'unsupported';
          else {
            if (!sameRights(granted, range.rights)) weakened.push({ range, granted });
            if (range.immutable === true) immutable.set(range.start, range.end, true);
            else immutable.clear(range.start, range.end);
          }
        }
        if (why !== undefined) return { applied: at, weakened, refused: { at, why } };
      }
      return { applied: ranges.length, weakened };
    },
  };
}
