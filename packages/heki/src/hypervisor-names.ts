/** Names that `--hypervisor` takes. They stand apart from what they name, so that help needs no backend. */
export const HYPERVISOR_NAMES = [
  'kvm',
  'kvm-vmm',
  'kvm-vtl',
  'kvm-planes',
  'hyperv',
  'hyperv-lvbs',
  'xen',
  'none',
] as const;

/** A name that `--hypervisor` takes. */
export type HypervisorName = (typeof HYPERVISOR_NAMES)[number];

/** Those with Heki. */
export const HEKI_HYPERVISORS: readonly Exclude<HypervisorName, 'none'>[] = HYPERVISOR_NAMES.filter(
  (name) => name !== 'none',
);
