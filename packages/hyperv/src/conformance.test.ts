import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { hypervSetup } from './testing/conformance-setup.ts';

describeConformance('Hyper-V with MBEC', hypervSetup({}));
describeConformance('Hyper-V without MBEC', hypervSetup({ mbec: false }));
