import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { policySetup } from '../testing/conformance-setup.ts';
import { createKvmPlanes } from './kvm-planes.ts';

describeConformance('KVM with planes', policySetup(createKvmPlanes));
