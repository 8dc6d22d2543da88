import { describeConformance } from '@heki/hypervisor/conformance/vitest';
import { kvmSetup } from './testing/conformance-setup.ts';

describeConformance('KVM on Intel with MBEC', kvmSetup({}));
