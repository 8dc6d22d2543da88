import type { XenAccessType } from '@heki/hypercall/xen';
import type { GuestRegions, Host, YieldPoint } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { Exception, Vcpu } from '@heki/vcpu';
import type { XenEvent } from './event.ts';
import type { ResolvedOptions } from './options.ts';
import { ONCE_ROOT } from './p2m/once.ts';
import type { AccessResult, P2m } from './p2m/p2m.ts';
import type { View } from './p2m/view.ts';
import type { XenStatistics } from './statistics.ts';
import type { EventChannel } from './vm-event/event-channel.ts';

/** One domain: the parts that the functions of this package work on. */
export interface DomainState {
  readonly options: ResolvedOptions;
  readonly host: Host;
  readonly regions: GuestRegions;
  readonly p2m: P2m;
  readonly vcpus: Vcpu[];
  /** The view of each virtual CPU. */
  readonly views: Map<Vcpu, View>;
  /** Virtual CPUs that one access was let through for. */
  readonly once: Set<Vcpu>;
  /** Exceptions that the monitor asked for, delivered with the reply. */
  readonly injections: Map<number, Exception>;
  /** Why the monitor ended the domain. */
  shutdown: string | undefined;
  readonly channel: EventChannel;
  readonly statistics: XenStatistics;
  readonly emit: ((event: XenEvent) => void) | undefined;
  readonly onYield: ((at: YieldPoint) => void) | undefined;
  /** The monitor, or Xen for it, stands in the middle of a request while other virtual CPUs run. */
  suspended: boolean;
}

/** Others may act here. The monitor is one thread: events of theirs wait until it goes on. */
export function yieldAt(domain: DomainState, at: YieldPoint): void {
  const { onYield } = domain;
  if (onYield === undefined || domain.suspended) return;
  domain.suspended = true;
  try {
    onYield(at);
  } finally {
    domain.suspended = false;
  }
}

/** Every virtual CPU forgets what it cached of every second level. */
export function flush(domain: DomainState): void {
  for (const vcpu of domain.vcpus) vcpu.invept();
  domain.statistics.flushes++;
}

/** XENMEM_access_op over a range, and the flush that follows before it returns. */
export function setAccess(
  domain: DomainState,
  view: View,
  start: Gfn,
  end: Gfn,
  access: XenAccessType,
): AccessResult {
  const result = domain.p2m.setAccess(view, start, end, access);
  domain.statistics.pages += result.pages;
  domain.emit?.({ type: 'access-set', view: view.index, start, end, access, pages: result.pages });
  if (result.pages === 0) return result;
  yieldAt(domain, 'zap');
  for (const vcpu of domain.vcpus) {
    vcpu.invept();
    yieldAt(domain, 'flush');
  }
  domain.statistics.flushes++;
  return result;
}

/** Puts a virtual CPU into a view. */
export function useView(domain: DomainState, vcpu: Vcpu, view: View): void {
  if (domain.once.delete(vcpu)) vcpu.invept(ONCE_ROOT);
  domain.views.set(vcpu, view);
  vcpu.useSecondLevel(view.second(), view.root);
}
