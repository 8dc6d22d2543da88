import type { HvInterceptMessage } from '@heki/hypercall/hyperv';
import type { HypervisorEvent } from '@heki/hypervisor';

/** What Hyper-V reports: the events that every backend has, and its own. */
export type HypervEvent =
  | HypervisorEvent
  | {
      /** A virtual processor goes on in VTL1. */
      readonly type: 'vtl-entered';
      readonly vcpu: number;
      readonly reason: 'vtl-call' | 'intercept';
      /** VTL0's TLB is locked meanwhile. */
      readonly tlbLocked: boolean;
    }
  | { /** A virtual processor is back in VTL0. */ readonly type: 'vtl-returned'; readonly vcpu: number }
  | {
      /** The hypervisor sent VTL1 a synthetic message. */
      readonly type: 'intercept-message';
      readonly message: HvInterceptMessage;
    }
  | {
      /** A hypercall was answered. */
      readonly type: 'hypercall';
      readonly vtl: 0 | 1;
      /** A value of `HvCall`. */
      readonly code: number;
      /** A value of `HvStatus`. */
      readonly status: number;
      readonly repsCompleted: number;
    }
  | {
      /** VTL1's secure kernel answered a function that VTL0 asked for. */
      readonly type: 'secure-call';
      readonly vcpu: number;
      /** A value of `LvbsFunction`, or any other number. */
      readonly function: bigint;
      /** 0, a token, or a negative error number of Linux. */
      readonly answer: number;
    };
