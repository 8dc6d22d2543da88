import type { Denial, Verdict } from './denial.ts';
import type { PinResult, ProtectionResult } from './result.ts';

/**
 * What every backend reports, in the same words. A backend adds events of its own; one with a `defect` says what that defect did to the
 * host, which the conformance kit lets none do.
 */
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
    };
