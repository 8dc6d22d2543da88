import { type Hypervisor, HypervisorError } from '@heki/hypervisor';
import { INTEL_VT_RP } from '@heki/x86';
import { hypervCapabilities } from './capabilities.ts';
import { createHypervVirtualMachine } from './create-virtual-machine.ts';
import { lvbsDefectSwitches } from './defects/lvbs-defects.ts';
import { describeEvent } from './describe.ts';
import type { HypervEvent } from './event.ts';
import type { HypervOptions } from './options.ts';
import type { HypervVirtualMachine } from './virtual-machine.ts';

/** Hyper-V as a backend. */
export type Hyperv = Hypervisor<HypervVirtualMachine, HypervEvent>;

/**
 * Hyper-V with virtual secure mode: the guest in VTL0, and in VTL1 a secure kernel that owns the policy. No
 * Hyper-V and no LVBS was run against this model.
 *
 * @throws {HypervisorError} for a processor without EPT, or `mbec` on one without mode-based execute control
 */
export function createHyperv(options: HypervOptions = {}): Hyperv {
  const processor = options.processor ?? INTEL_VT_RP;
  const hasMbec = processor.ept?.modeBasedExecute === true;
  const { mbec = hasMbec, tlbLock = true, iommuPolicy = false, rangePages = 4096, trusted = {} } = options;
  const defects = lvbsDefectSwitches(options.secureKernel ?? 'hardened', options.defects);
  if (processor.ept === undefined) {
    throw new HypervisorError(`processor ${processor.name} has no EPT: expected one that has`);
  }
  if (mbec && !hasMbec) {
    throw new HypervisorError(
      `processor ${processor.name} has no mode-based execute control: expected mbec false`,
    );
  }
  const resolved = { processor, mbec, tlbLock, iommuPolicy, rangePages, trusted, defects };
  const capabilities = hypervCapabilities(resolved);
  return {
    name: 'hyperv',
    capabilities,
    processor,
    defects,
    createVirtualMachine: (machine) => createHypervVirtualMachine(resolved, capabilities, machine),
    describe: describeEvent,
  };
}
