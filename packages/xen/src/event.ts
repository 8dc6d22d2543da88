import type { VmEvent } from '@heki/hypercall/xen';
import type { HypervisorEvent } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';

/** What Xen reports: the events that every backend has, and its own. */
export type XenEvent =
  | HypervisorEvent
  | { /** Xen put a request into the ring. */ readonly type: 'vm-event'; readonly event: VmEvent }
  | { /** Xen took a reply out of the ring. */ readonly type: 'vm-event-reply'; readonly event: VmEvent }
  | {
      /** A virtual CPU waits: for room in the ring, or for the monitor's reply. */
      readonly type: 'paused';
      readonly vcpu: number;
      readonly because: 'ring-full' | 'no-reply';
    }
  | {
      /** Access types were set, page by page. */
      readonly type: 'access-set';
      readonly view: number;
      readonly start: Gfn;
      /** Exclusive. */
      readonly end: Gfn;
      /** A value of `XenAccess`. */
      readonly access: number;
      readonly pages: number;
    }
  | {
      /** A virtual CPU goes on in another view. */ readonly type: 'view-switched';
      readonly vcpu: number;
      readonly view: number;
    }
  | {
      /** A view that started empty got an entry. */
      readonly type: 'propagated';
      readonly view: number;
      readonly gfn: Gfn;
    };
