import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { AMD_ZEN4, type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { policySetup } from '../testing/conformance-setup.ts';
import { createKvmVmm } from './kvm-vmm.ts';
import { createKvmVtl } from './kvm-vtl.ts';

// `conformance.long.test.ts` has the others.
describeConformance("KVM under the VMM's policy", policySetup(createKvmVmm));
const terse: CpuProfile = {
  ...INTEL_VT_RP,
  ept: INTEL_VT_RP.ept && { ...INTEL_VT_RP.ept, advancedViolationInfo: false },
};
describeConformance(
  "KVM under a paired VM's policy where a violation does not say whose code it was, with an IOMMU and another life-cycle",
  policySetup(createKvmVtl, { processor: terse, iommu: true, lifeCycle: { reset: 'keep', kexec: 'clear' } }),
);
describeConformance(
  'the same on AMD without GMET',
  policySetup(createKvmVtl, { processor: AMD_ZEN4, gmet: false }),
);
