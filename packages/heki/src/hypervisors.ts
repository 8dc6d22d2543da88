import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm, createKvmVtl } from '@heki/kvm';
import type { HekiDriver, HypervisorSettings } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import type { CpuProfile } from '@heki/x86';
import { createXen } from '@heki/xen';
import { UsageError } from './failure.ts';
import { HYPERVISOR_NAMES, type HypervisorName } from './hypervisor-names.ts';
import type { Warning } from './warning.ts';

/** A hypervisor that the command knows, and the driver for it in the guest kernel. */
interface Backend {
  readonly title: string;
  readonly create: (settings: HypervisorSettings) => Hypervisor<VirtualMachine, BackendEvent>;
  /** `undefined`: the kernel finds no Heki there. */
  readonly driver: HekiDriver | undefined;
  /** No outside implementation has judged the model of it. */
  readonly unjudged: boolean;
}

/** Without Heki there is nothing of it that could be defective. */
function withoutHeki(settings: HypervisorSettings): Hypervisor<VirtualMachine, BackendEvent> {
  return { ...createKvm({ ...settings, defects: {} }), defects: {} };
}

/** @throws {UsageError} for a processor without EPT */
function withEpt(
  name: HypervisorName,
  { processor }: HypervisorSettings,
): { readonly processor: CpuProfile } {
  if (processor.ept !== undefined) return { processor };
  throw new UsageError(
    `--hypervisor ${name}: modelled with EPT alone, which the processor ${processor.name} does not have: expected kvm, kvm-vmm or kvm-vtl, or --cpu with one of Intel's`,
  );
}

/** VTL1 cannot opt for what the processor does not have. */
function hypervOptions(name: HypervisorName, settings: HypervisorSettings): HypervisorSettings {
  const { processor } = withEpt(name, settings);
  return { ...settings, mbec: settings.mbec && processor.ept?.modeBasedExecute === true };
}

/** The hypervisors by their names. */
export const HYPERVISORS: { readonly [name in HypervisorName]: Backend } = {
  kvm: { title: 'KVM as the series changes it', create: createKvm, driver: initHekiOnKvm, unjudged: false },
  'kvm-vmm': {
    title: 'KVM with the policy in the VMM',
    create: ({ mbec, gmet, processor }) => createKvmVmm({ mbec, gmet, processor }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  'kvm-vtl': {
    title: 'KVM with the policy in a paired VM',
    create: ({ mbec, gmet, processor }) => createKvmVtl({ mbec, gmet, processor }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  hyperv: {
    title: 'Hyper-V with VSM, a secure kernel in VTL1',
    create: (settings) => createHyperv({ ...hypervOptions('hyperv', settings), trusted: {} }),
    driver: initHekiOnHyperv,
    unjudged: true,
  },
  'hyperv-lvbs': {
    title: 'Hyper-V with VSM and the guest of LVBS, which ends its boot and has code validated',
    create: (settings) => createHyperv(hypervOptions('hyperv-lvbs', settings)),
    driver: initHekiOnLvbs,
    unjudged: true,
  },
  xen: {
    title: 'Xen, with the monitor in another domain',
    create: (settings) => createXen(withEpt('xen', settings)),
    driver: initHekiOnXen,
    unjudged: true,
  },
  none: { title: 'KVM without Heki', create: withoutHeki, driver: undefined, unjudged: false },
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

/** What a reader must know of the model of a hypervisor. */
export function hypervisorWarnings(name: HypervisorName): Warning[] {
  if (!HYPERVISORS[name].unjudged) return [];
  return [{ id: 'unjudged', message: `no outside implementation has judged the model of ${name}` }];
}
