import type { MachineSpecification } from '@heki/machine';

/** A machine that attacks are tried on. */
export interface AttackMachine {
  readonly name: string;
  readonly title: string;
  /** What it is, beside what all have: two processors, 32 MiB and a small kernel. */
  readonly machine: MachineSpecification;
}

/** The machines, from the one without protection on. One line adds one. */
export const ATTACK_MACHINES: readonly AttackMachine[] = [
  {
    name: 'rodata-off',
    // No module can be loaded there: Linux 6.6 makes no page executable that is writable.
    title: 'KVM without Heki, a kernel with rodata=off, which loads no modules',
    machine: { hypervisor: 'none', commandLine: 'rodata=off' },
  },
  { name: 'no-heki', title: 'KVM without Heki', machine: { hypervisor: 'none' } },
  { name: 'rfc-v2', title: 'the published series on KVM', machine: { profile: 'rfc-v2' } },
  {
    name: 'rfc-v2-no-mbec',
    title: 'the published series without MBEC',
    machine: { profile: 'rfc-v2', mbec: false },
  },
  { name: 'hardened', title: 'the series on KVM, its defects mended', machine: {} },
  { name: 'hardened-no-mbec', title: 'hardened without MBEC', machine: { mbec: false } },
  {
    name: 'hardened-iommu',
    title: 'hardened, and devices meet the rights of pages',
    machine: { iommu: true },
  },
  { name: 'hardened-gmet', title: 'hardened on AMD with GMET', machine: { cpu: 'amd-zen4' } },
  {
    name: 'hardened-hlat',
    title: 'hardened, and the hypervisor owns the translation of text, rodata and IDT (HLAT)',
    machine: { hlat: true },
  },
  {
    name: 'hardened-authenticated',
    title: 'hardened, and the host side of KVM owns the code of the kernel',
    machine: { authenticate: true },
  },
  { name: 'kvm-vmm', title: 'KVM with the policy in the VMM', machine: { hypervisor: 'kvm-vmm' } },
  { name: 'kvm-vtl', title: 'KVM with the policy in a paired VM', machine: { hypervisor: 'kvm-vtl' } },
  {
    name: 'kvm-planes',
    title: 'KVM with planes as proposed in April 2025, the policy in plane 1',
    machine: { hypervisor: 'kvm-planes' },
  },
  { name: 'hyperv', title: "Hyper-V's VSM, a kernel of the series", machine: { hypervisor: 'hyperv' } },
  {
    name: 'lvbs-2026-02',
    title: 'Hyper-V with LVBS as published in February 2026',
    machine: { hypervisor: 'hyperv-lvbs', secureKernel: 'lvbs-2026-02' },
  },
  { name: 'lvbs', title: 'Hyper-V with LVBS, its holes closed', machine: { hypervisor: 'hyperv-lvbs' } },
  { name: 'xen', title: 'Xen with a monitor in another domain', machine: { hypervisor: 'xen' } },
];
