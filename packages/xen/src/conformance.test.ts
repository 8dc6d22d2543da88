import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { xenSetup } from './testing/conformance-setup.ts';

describeConformance('Xen', xenSetup());
describeConformance(
  'Xen whose IOMMU uses the p2m, with another life-cycle',
  xenSetup({ iommuSharesP2m: true, lifeCycle: { reset: 'keep', kexec: 'clear' } }),
);
