import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { AMD_ZEN4, type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { policySetup } from '../testing/conformance-setup.ts';
import { createKvmVmm } from './kvm-vmm.ts';
import { createKvmVtl } from './kvm-vtl.ts';

const terse: CpuProfile = {
  ...INTEL_VT_RP,
  ept: INTEL_VT_RP.ept && { ...INTEL_VT_RP.ept, advancedViolationInfo: false },
};

describeConformance("KVM under a paired VM's policy", policySetup(createKvmVtl));
describeConformance(
  "KVM under the VMM's policy where a violation does not say whose code it was, with an IOMMU and another life-cycle",
  policySetup(createKvmVmm, { processor: terse, iommu: true, lifeCycle: { reset: 'keep', kexec: 'clear' } }),
);
describeConformance('the same without MBEC', policySetup(createKvmVmm, { mbec: false }));
describeConformance('the same on AMD with GMET', policySetup(createKvmVmm, { processor: AMD_ZEN4 }));
