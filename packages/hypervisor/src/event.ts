import type { Denial, Verdict } from './denial.ts';
import type { PinResult, ProtectionResult } from './result.ts';

/** What the published host code would have done to its host, had a bound not ended it. */
export type HostIncidentKind =
  /** Work or memory without bound. */
  | 'host-exhaustion'
  /** A write outside a host allocation. */
  | 'host-memory-corruption'
  /** A host allocation that nothing frees. */
  | 'host-leak'
  /** A read outside a host allocation. */
  | 'host-out-of-bounds-read';

/** Damage to the host that a defect would have done: the call ended here instead. */
export interface HostIncident {
  readonly type: HostIncidentKind;
  /** The id of the defect: `B-H2`. */
  readonly defect: string;
  /** Bytes written, read or leaked out of bounds, or units of work asked for: the exact figure. */
  readonly amount: bigint;
  readonly unit: 'bytes' | 'frames' | 'list pages';
  /** One sentence for people. */
  readonly text: string;
}

/** What every backend reports, in the same words. A backend adds events of its own. */
export type HypervisorEvent =
  | {
      /** Something that the guest tried was refused. */
      readonly type: 'denied';
      /** Index of the virtual CPU; `undefined` for a request that comes from no virtual CPU. */
      readonly vcpu: number | undefined;
      readonly denial: Denial;
      readonly verdict: Verdict;
    }
  | {
      /** A request for rights was answered. */
      readonly type: 'protected';
      readonly by: 'guest' | 'vmm' | 'policy-owner';
      readonly result: ProtectionResult;
    }
  | {
      /** A request to pin register bits was answered. */
      readonly type: 'pinned';
      readonly by: 'guest' | 'vmm' | 'policy-owner';
      readonly result: PinResult;
    }
  | {
      /** A line in the host's log. */
      readonly type: 'log';
      readonly text: string;
    }
  | HostIncident;
