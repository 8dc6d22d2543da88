import { createHyperv, type HypervOptions } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmPlanes, createKvmVmm, createKvmVtl } from '@heki/kvm';
import { type HypervisorSettings, isModulePath } from '@heki/machine';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnLvbs, initHekiOnXen } from '@heki/paravirt';
import type { CpuProfile } from '@heki/x86';
import { createXen } from '@heki/xen';
import type { Backend } from './backend.ts';
import { SpecificationError } from './failure.ts';
import { HYPERVISOR_NAMES, type HypervisorName } from './hypervisor-names.ts';
import type { Warning } from './warning.ts';

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
  throw new SpecificationError(
    `--hypervisor ${name}: modelled with EPT alone, which the processor ${processor.name} does not have: expected kvm, kvm-vmm, kvm-vtl or kvm-planes, or --cpu with one of Intel's`,
    ['hypervisor'],
  );
}

/** VTL1 cannot opt for what the processor does not have. */
function hypervOptions(name: HypervisorName, settings: HypervisorSettings): HypervOptions {
  const { processor } = withEpt(name, settings);
  const mbec = settings.mbec && processor.ept?.modeBasedExecute === true;
  return { ...settings, mbec, iommuPolicy: settings.iommu };
}

/** The hypervisors by their names. */
export const HYPERVISORS: { readonly [name in HypervisorName]: Backend } = {
  kvm: {
    name: 'kvm',
    title: 'KVM as the series changes it',
    create: createKvm,
    driver: initHekiOnKvm,
    unjudged: false,
  },
  'kvm-vmm': {
    name: 'kvm-vmm',
    title: 'KVM with the policy in the VMM',
    create: ({ mbec, gmet, iommu, processor }) => createKvmVmm({ mbec, gmet, iommu, processor }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  'kvm-vtl': {
    name: 'kvm-vtl',
    title: 'KVM with the policy in a paired VM',
    create: ({ mbec, gmet, iommu, processor }) => createKvmVtl({ mbec, gmet, iommu, processor }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  'kvm-planes': {
    name: 'kvm-planes',
    title: 'KVM with planes as proposed, the policy in plane 1',
    create: ({ mbec, gmet, processor }) => createKvmPlanes({ mbec, gmet, processor }),
    driver: initHekiOnKvm,
    unjudged: true,
  },
  hyperv: {
    name: 'hyperv',
    title: 'Hyper-V with VSM, a secure kernel in VTL1',
    create: (settings) => createHyperv({ ...hypervOptions('hyperv', settings), trusted: {} }),
    driver: initHekiOnHyperv,
    unjudged: true,
  },
  'hyperv-lvbs': {
    name: 'hyperv-lvbs',
    title: 'Hyper-V with VSM and the guest of LVBS, which ends its boot and has code validated',
    create: (settings) => createHyperv(hypervOptions('hyperv-lvbs', settings)),
    driver: initHekiOnLvbs,
    unjudged: true,
  },
  xen: {
    name: 'xen',
    title: 'Xen, with the monitor in another domain',
    create: (settings) => createXen({ ...withEpt('xen', settings), iommuSharesP2m: settings.iommu }),
    driver: initHekiOnXen,
    unjudged: true,
  },
  none: { name: 'none', title: 'KVM without Heki', create: withoutHeki, driver: undefined, unjudged: false },
};

/** @throws {UsageError} for what is neither a name nor the path of a module */
export function checkHypervisor(name: string): void {
  if (!isHypervisorName(name) && !isModulePath(name)) {
    throw new SpecificationError(
      `--hypervisor ${name || '""'}: expected one of ${HYPERVISOR_NAMES.join(', ')}, or the path of an ES module: ./mine.mjs`,
      ['hypervisor'],
    );
  }
}

export function isHypervisorName(name: string): name is HypervisorName {
  return Object.hasOwn(HYPERVISORS, name);
}

/** Whether a guest there makes KVM's hypercalls, whoever answers them, and the backend reports them as KVM does. */
export function makesKvmHypercalls({ driver, module }: Backend): boolean {
  return module === undefined && driver === initHekiOnKvm;
}

/** What a reader must know of the model of a hypervisor. */
export function hypervisorWarnings({ name, unjudged }: Pick<Backend, 'name' | 'unjudged'>): Warning[] {
  if (!unjudged) return [];
  return [{ id: 'unjudged', message: `no outside implementation has judged the model of ${name}` }];
}
