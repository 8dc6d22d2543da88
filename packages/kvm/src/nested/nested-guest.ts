import {
  defaultControls,
  type ExitAction,
  type Registers,
  type Vcpu,
  type VcpuSetup,
  type VmControls,
  type VmExit,
} from '@heki/vcpu';
import type { NestedView } from './nested-view.ts';

/** What a hypervisor has its guest leave for, as far as it is modelled. */
export const NESTED_CONTROLS = [
  'cr0Mask',
  'cr0Shadow',
  'cr4Mask',
  'cr4Shadow',
  'cr3LoadExiting',
  'descriptorTableExiting',
  'readExitingMsrs',
  'writeExitingMsrs',
  'hypercallExiting',
  'svm',
] as const satisfies readonly (keyof VmControls)[];

/** The `NESTED_CONTROLS` of an L2. */
export type NestedControls = Pick<VmControls, (typeof NESTED_CONTROLS)[number]>;

/** `controls`, and for the rest what a hypervisor has that wants nothing but VMMCALL. */
export function completeControls(controls: Partial<NestedControls>): NestedControls {
  const all = { ...defaultControls(), ...controls };
  const { cr0Mask, cr0Shadow, cr4Mask, cr4Shadow, cr3LoadExiting, descriptorTableExiting } = all;
  const { readExitingMsrs, writeExitingMsrs, hypercallExiting, svm } = all;
  return {
    cr0Mask,
    cr0Shadow,
    cr4Mask,
    cr4Shadow,
    cr3LoadExiting,
    descriptorTableExiting,
    readExitingMsrs,
    writeExitingMsrs,
    hypercallExiting,
    svm,
  };
}

/** What the hypervisor inside the guest (L1) wrote into the VMCS or VMCB of its own guest (L2): vmcs12, vmcb12. */
export interface NestedSetup {
  /**
   * What L2 leaves for to L1, beside what always does. Default: VMMCALL. Guest/host masks, shadows and CR3-load exiting on Intel,
   * `svm` and `hypercallExiting` on AMD. INIT leaves every L2 on Intel, and those with `svm.init` on AMD.
   */
  readonly controls?: Partial<NestedControls>;
  /** Control registers that a VM exit loads. Default: those that L1 has when it enters L2. */
  readonly host?: { readonly cr0?: bigint; readonly cr4?: bigint };
}

/** Registers that a VM exit gives back to L1. */
export type HostRegisters = Pick<Registers, 'cr0' | 'cr3' | 'cr4' | 'efer'>;

/** An L2 on a virtual CPU. */
export interface NestedGuest {
  readonly view: NestedView;
  /** EPTP or nCR3. */
  readonly pointer: bigint;
  readonly controls: NestedControls;
  readonly host: HostRegisters;
}

/** The virtual CPUs of a VM that run an L2. */
export type NestedCpus = Map<Vcpu, NestedGuest>;

/** An exit of an L2 to L1. `init`: the INIT signal (basic exit reason 3, VMEXIT_INIT), which is no exit of an instruction. */
export type NestedExit = VmExit | { readonly reason: 'init' };

/** What a guest of KVM brings for a virtual CPU. */
export interface KvmVcpuSetup extends VcpuSetup {
  /**
   * The hypervisor inside the guest: what it does about an exit of its L2. It may leave the L2. Without it such an exit stops the virtual
   * CPU, since L1 has no handler for it.
   */
  readonly onNestedExit?: (vcpu: Vcpu, exit: NestedExit) => ExitAction;
}
