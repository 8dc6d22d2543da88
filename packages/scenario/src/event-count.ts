import type { TraceEvent } from '@heki/machine';

/** What a stretch of a kernel's life costs, in events on its virtual CPUs. */
export interface EventCount {
  /** Hypercalls that the kernel executes. */
  readonly calls: number;
  /** Exits to the hypervisor, hypercalls included. */
  readonly exits: number;
  /** Times that cached translations are dropped for the hypervisor. */
  readonly flushes: number;
  /** Times that the hypervisor has to ask whoever owns the policy, and the guest waits for the answer. */
  readonly asked: number;
}

/** Counts events of a machine that reports those of its processors, too. */
export interface EventCounter {
  readonly onEvent: (event: TraceEvent) => void;
  /** What came since the last time, or from the beginning. */
  take(): EventCount;
}

/** Events of the backends by which an owner of the policy is asked: exits to the VMM, entries of VTL1, requests in Xen's ring. */
const ASKING: ReadonlySet<string> = new Set(['user-exit', 'vtl-entered', 'vm-event']);

export function createEventCounter(): EventCounter {
  let count = { calls: 0, exits: 0, flushes: 0, asked: 0 };
  return {
    onEvent({ from, event }) {
      if (from === 'hypervisor' && ASKING.has(event.type)) count.asked++;
      if (from !== 'vcpu') return;
      if (event.type === 'exit') {
        count.exits++;
        if (event.exit.reason === 'hypercall') count.calls++;
      }
      if (event.type === 'flush' && (event.cause === 'invept' || event.cause === 'invvpid')) count.flushes++;
    },
    take() {
      const taken = count;
      count = { calls: 0, exits: 0, flushes: 0, asked: 0 };
      return taken;
    },
  };
}
