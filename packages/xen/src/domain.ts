import type { XenAccessType } from '@heki/hypercall/xen';
import type { VirtualMachine } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { AccessResult } from './p2m/p2m.ts';
import type { XenStatistics } from './statistics.ts';

/** What the toolstack and the monitor's domain can do with views (HVMOP_altp2m, external mode). 0 is the host p2m. */
export interface XenViews {
  /** An empty view whose entries are copied from the host p2m when first needed: its index, or a negative error number. */
  create(defaultAccess: XenAccessType): number;
  /** 0, or -EINVAL for the host p2m, no view, or one that a virtual CPU is in. */
  destroy(index: number): number;
  /** Puts every virtual CPU, or one, into a view. 0 or a negative error number. */
  switchTo(index: number, vcpu?: Vcpu): number;
  /** Sets the access type of `start` .. `end` - 1 page by page, as far as it goes. */
  setAccess(index: number, start: Gfn, end: Gfn, access: XenAccessType): AccessResult;
  /** What pages without a type of their own have (frame ~0). 0 or a negative error number. */
  setDefault(index: number, access: XenAccessType): number;
  /** The access type of a page; `undefined` when there is no such view. */
  accessOf(index: number, gfn: Gfn): XenAccessType | undefined;
}

/** A domain of Xen with the monitor for Heki attached: the contract, and what its toolstack can do. *Unjudged.* */
export interface XenDomain extends VirtualMachine {
  readonly views: XenViews;
  /** Lets the monitor's domain run: it answers the events that wait, at most `most`. How many it answered. */
  runMonitor(most?: number): number;
  /** The page of the vm_event ring, 1,024 words. */
  readonly ring: Uint32Array;
  /** What has happened so far. */
  readonly statistics: Readonly<XenStatistics>;
  /** Pages of p2m tables, of all views. */
  readonly tablePages: number;
}
