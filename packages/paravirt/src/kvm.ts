import type { HekiGuest } from '@heki/guest';
import type { Vcpu } from '@heki/vcpu';

/** What the KVM driver runs on. */
export interface KvmDriverOptions {
  /** The virtual CPU that executes the hypercalls; asked for each, because the kernel may run on any. */
  readonly vcpu: () => Vcpu;
  /** Hears of the warning about hypercalls in interrupt context, once. */
  readonly onWarning?: (text: string) => void;
}

/**
 * `init_heki` of KVM (Heki v2 4/19): asks the hypervisor under the virtual CPU for the version of hypercall 13 and, if
 * it has one, fills `guest.hypervisor`. Whether it did.
 */
export function initHekiOnKvm(_guest: HekiGuest, _options: KvmDriverOptions): boolean {
  return false;
}
