import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';

/** How a backend is to be. */
interface BackendSettings {
  readonly profile: 'hardened' | 'rfc-v2';
  readonly mbec: boolean;
}

/** A hypervisor that the command knows, and the driver for it in the guest kernel. */
interface Backend {
  readonly title: string;
  readonly create: (settings: BackendSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  /** `undefined`: the kernel finds no Heki there. */
  readonly driver: typeof initHekiOnKvm | undefined;
}

/** The hypervisors, by the name that `--hypervisor` takes. */
export const HYPERVISORS = {
  kvm: { title: 'KVM', create: createKvm, driver: initHekiOnKvm },
  none: { title: 'KVM without Heki', create: createKvm, driver: undefined },
} as const satisfies { readonly [name: string]: Backend };

/** A name that `--hypervisor` takes. */
export type HypervisorName = keyof typeof HYPERVISORS;

/** {@link HypervisorName}s. */
export const HYPERVISOR_NAMES = Object.keys(HYPERVISORS) as HypervisorName[];
