import { createHyperv, type TrustedCode } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import type { HekiDriver } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import type { Profile } from '@heki/series';
import type { CpuProfile } from '@heki/x86';
import { createXen } from '@heki/xen';
import { UsageError } from './failure.ts';
import { HYPERVISOR_NAMES, type HypervisorName } from './hypervisor-names.ts';

/** How a backend is to be. */
interface BackendSettings {
  readonly profile: Profile;
  readonly mbec: boolean;
  /** Default: a processor with all that the hypervisor can use. */
  readonly processor?: CpuProfile;
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

/** On AMD, GMET is what mode-based execute control is on Intel. */
function kvm({ profile, mbec, processor }: BackendSettings): Hypervisor<VirtualMachine, BackendEvent> {
  return createKvm({ profile, mbec, gmet: mbec, ...(processor && { processor }) });
}

/** @throws {UsageError} for a processor without EPT */
function withEpt(
  name: HypervisorName,
  processor: CpuProfile | undefined,
): { readonly processor?: CpuProfile } {
  if (processor === undefined) return {};
  if (processor.ept !== undefined) return { processor };
  throw new UsageError(
    `--hypervisor ${name}: modelled with EPT alone, which the processor ${processor.name} does not have: expected kvm, kvm-vmm or kvm-vtl, or --cpu with one of Intel's`,
  );
}

function hypervOptions(
  name: HypervisorName,
  { mbec, processor }: Pick<BackendSettings, 'mbec' | 'processor'>,
) {
  const has = processor === undefined || processor.ept?.modeBasedExecute === true;
  return { ...withEpt(name, processor), mbec: mbec && has };
}

/** The hypervisors by their names. */
export const HYPERVISORS: { readonly [name in HypervisorName]: Backend } = {
  kvm: { title: 'KVM as the series changes it', create: kvm, driver: initHekiOnKvm, unjudged: false },
  'kvm-vmm': {
    title: 'KVM with the policy in the VMM',
    create: ({ mbec, processor }) => createKvmVmm({ mbec, gmet: mbec, ...(processor && { processor }) }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  'kvm-vtl': {
    title: 'KVM with the policy in a paired VM',
    create: ({ mbec, processor }) => createKvmVtl({ mbec, gmet: mbec, ...(processor && { processor }) }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  hyperv: {
    title: 'Hyper-V with VSM, a secure kernel in VTL1',
    create: (settings) => createHyperv(hypervOptions('hyperv', settings)),
    driver: initHekiOnHyperv,
    unjudged: true,
  },
  'hyperv-lvbs': {
    title: 'Hyper-V with VSM and the guest of LVBS, which ends its boot and has code validated',
    create: ({ trusted = {}, ...settings }) =>
      createHyperv({ ...hypervOptions('hyperv-lvbs', settings), trusted }),
    driver: initHekiOnLvbs,
    unjudged: true,
  },
  xen: {
    title: 'Xen, with the monitor in another domain',
    create: ({ processor }) => createXen(withEpt('xen', processor)),
    driver: initHekiOnXen,
    unjudged: true,
  },
  none: { title: 'KVM without Heki', create: kvm, driver: undefined, unjudged: false },
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
