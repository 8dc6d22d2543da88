import { createHyperv, type TrustedCode } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import type { HekiDriver } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import { createXen } from '@heki/xen';
import { UsageError } from './failure.ts';
import { HYPERVISOR_NAMES, type HypervisorName } from './hypervisor-names.ts';

/** How a backend is to be. */
interface BackendSettings {
  readonly profile: Profile;
  readonly mbec: boolean;
  /** What a secure kernel that looks at signatures lets run. */
  readonly trusted?: TrustedCode;
}

/** A hypervisor that the command knows, and the driver for it in the guest kernel. */
interface Backend {
  readonly title: string;
  readonly create: (settings: BackendSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  /** `undefined`: the kernel finds no Heki there. */
  readonly driver: HekiDriver | undefined;
  /** No outside implementation has judged the model of it. */
  readonly unjudged: boolean;
}

/** The hypervisors by their names. */
export const HYPERVISORS: { readonly [name in HypervisorName]: Backend } = {
  kvm: { title: 'KVM as the series changes it', create: createKvm, driver: initHekiOnKvm, unjudged: false },
  'kvm-vmm': {
    title: 'KVM with the policy in the VMM',
    create: ({ mbec }) => createKvmVmm({ mbec }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  'kvm-vtl': {
    title: 'KVM with the policy in a paired VM',
    create: ({ mbec }) => createKvmVtl({ mbec }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  hyperv: {
    title: 'Hyper-V with VSM, a secure kernel in VTL1',
    create: ({ mbec }) => createHyperv({ mbec }),
    driver: initHekiOnHyperv,
    unjudged: true,
  },
  'hyperv-lvbs': {
    title: 'Hyper-V with VSM and the guest of LVBS, which ends its boot and has code validated',
    create: ({ mbec, trusted = {} }) => createHyperv({ mbec, trusted }),
    driver: initHekiOnLvbs,
    unjudged: true,
  },
  xen: {
    title: 'Xen, with the monitor in another domain',
    create: () => createXen(),
    driver: initHekiOnXen,
    unjudged: true,
  },
  none: { title: 'KVM without Heki', create: createKvm, driver: undefined, unjudged: false },
};

/** The hypervisor that the user names; KVM when he names none. @throws {UsageError} for a name that there is none of */
export function hypervisorNamed(name: string = 'kvm'): HypervisorName {
  if (!isHypervisorName(name))
    throw new UsageError(`--hypervisor ${name}: expected one of ${HYPERVISOR_NAMES.join(', ')}`);
  return name;
}

/** Whether there is a hypervisor of that name. */
export function isHypervisorName(name: string): name is HypervisorName {
  return Object.hasOwn(HYPERVISORS, name);
}

/** Whether a guest there makes KVM's hypercalls, whoever answers them. */
export function makesKvmHypercalls(name: HypervisorName): boolean {
  return HYPERVISORS[name].driver === initHekiOnKvm;
}
